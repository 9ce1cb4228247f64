"""Messages whose senders wait to hear what became of them."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from hub.engine.contracts import Processed


class Awaited:
    """Who waits for the end of which message's steps, in this process. What is owed across a restart stays unsaid."""

    def __init__(self) -> None:
        self._waiting: dict[int, Deferred[Processed]] = {}

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._waiting

    def wait(self, message_id: int) -> Deferred[Processed]:
        """Fires when the steps of that message have ended."""

        def forget(_: Deferred[Processed]) -> None:
            self._waiting.pop(message_id, None)

        waiting: Deferred[Processed] = Deferred(forget)
        self._waiting[message_id] = waiting
        return waiting

    def ended(self, message_id: int, processed: Processed) -> None:
        """The steps of that message have ended."""
        waiting = self._waiting.pop(message_id, None)
        if waiting is not None:
            waiting.callback(processed)
