"""Messages whose senders wait to hear what became of them."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from hub.engine.contracts import Processed


class Awaited:
    """Who waits for the end of which message's steps, in this process."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[Deferred[Processed]]] = {}

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._waiting

    def wait(self, message_id: int) -> Deferred[Processed]:
        """Fires when the steps of that message have ended. Whoever repeats a message waits beside its first sender."""

        def forget(cancelled: Deferred[Processed]) -> None:
            others = [one for one in self._waiting.pop(message_id, ()) if one is not cancelled]
            if others:
                self._waiting[message_id] = others

        waiting: Deferred[Processed] = Deferred(forget)
        self._waiting.setdefault(message_id, []).append(waiting)
        return waiting

    def ended(self, message_id: int, processed: Processed) -> None:
        """The steps of that message have ended."""
        for waiting in self._waiting.pop(message_id, ()):
            waiting.callback(processed)
