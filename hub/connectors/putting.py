"""Putting files into a folder, wherever it is: what the sftp and files destinations share."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, ensureDeferred, succeed

from hub.connectors.settings import Settings
from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.engine.contracts import DestinationContext, EndpointState, Failure, Health, Outcome, Parcel, Reply

CALL_WITHIN = 300.0
"""Seconds that one step of a transfer may take."""
LONGEST_NAME = 200


class Putting:
    """A destination that runs the *steps* of its connector, tasks in the transfer workers, one after the other.

    A step replies ``{"failure": None}`` or ``{"failure": kind, "reason": sentence, "state": word}``; the last
    one replies with the answer as its part. Only the last step makes the file visible: when it is not known
    how that ended the delivery is ambiguous, before that it is transient.
    """

    def __init__(
        self,
        name: str,
        address: str,
        settings: Settings,
        context: DestinationContext,
        steps: tuple[str, ...] = ("put",),
    ) -> None:
        self._name = name
        self._address = address
        self._settings = settings.model_dump(mode="json")
        self._context = context
        self._steps = steps
        # One at a time: a folder gains nothing from more, and files appear in the order of their queue.
        self._turn = DeferredSemaphore(1)
        self._state = EndpointState.IDLE
        self._since = real_ms()
        self._detail = ""

    def start(self) -> None:
        """Nothing: the folder is visited when there is something to put."""

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        """Put *parcel* under its name."""
        if not _is_plain(parcel.name):
            reason = "The output has no name that a file can have."
            return succeed(Outcome(Failure.PERMANENT, reason))
        return self._turn.run(lambda: ensureDeferred(self._put(parcel)))

    def stop(self) -> Deferred[None]:
        """End after the file in hand."""

        def stopped(_: Any) -> None:
            self._stand(EndpointState.STOPPED)

        return self._turn.acquire().addCallback(stopped)

    def health(self) -> tuple[Health, ...]:
        """How the last transfer went."""
        return (Health(self._state, self._address, self._since, self._detail),)

    async def _put(self, parcel: Parcel) -> Outcome:
        header = {
            "settings": self._settings,
            "name": parcel.name,
            "delivery_id": parcel.delivery_id,
            "size": len(parcel.body),
        }
        reply = Reply({})
        for step in self._steps:
            last = step == self._steps[-1]
            try:
                reply = await self._context.workers.call(
                    f"{self._name}.{step}", header, (parcel.body,), timeout=CALL_WITHIN
                )
            except Exception as error:  # a worker that died or hangs tells nothing of what it had done
                self._context.log.failure(f"{self._name}: {step} ended without a word", error)
                return self._without_a_word(error, last=last)
            if (failure := reply.header.get("failure")) is not None:
                reason = str(reply.header["reason"])
                state = EndpointState(reply.header["state"])
                self._stand(state, "" if state == EndpointState.CONNECTED else reason)
                return Outcome(Failure(failure), reason)
        self._stand(EndpointState.CONNECTED)
        return Outcome(None, answer=reply.parts[0] if reply.parts else None)

    def _without_a_word(self, error: Exception, *, last: bool) -> Outcome:
        what = error.what if isinstance(error, HubError) else "The transfer ended without a word."
        self._stand(EndpointState.RETRYING, what)
        if last:
            return Outcome(Failure.AMBIGUOUS, f"{what} The file may be in its place.")
        return Outcome(Failure.TRANSIENT, f"{what} The file is not in its place.")

    def _stand(self, state: EndpointState, detail: str = "") -> None:
        if state != self._state:
            self._since = real_ms()
        self._state, self._detail = state, detail


def _is_plain(name: str) -> bool:
    """Whether *name* names a file in a folder, and nothing outside it."""
    return 0 < len(name) <= LONGEST_NAME and name not in {".", ".."} and "/" not in name and "\0" not in name
