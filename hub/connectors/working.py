"""Destinations whose work blocks: tasks of their connector in the transfer workers, one parcel at a time.

What the files, sftp, database and email destinations share.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, ensureDeferred

from hub.connectors.settings import Settings
from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.engine.contracts import DestinationContext, EndpointState, Failure, Health, Outcome, Parcel, Reply

CALL_WITHIN = 300.0
"""Seconds that one step may take."""


def failed(failure: Failure, reason: str, state: EndpointState = EndpointState.CONNECTED) -> Reply:
    """What a step replies that did not do it."""
    return Reply({"failure": failure.value, "reason": reason, "state": state.value})


class Working:
    """A destination that runs *steps*, tasks of the connector *name*, one after the other for each parcel.

    A step replies ``{"failure": None}`` or by :func:`failed`; the last one replies with the answer as its part.
    Only the last step does what the receiver sees: when it is not known how that ended the delivery is ambiguous
    (*may_be* says what may have happened then), before that it is transient (*is_not* says what has not). With
    *knows_repeats* the receiver takes nothing twice, so that nothing is ambiguous.
    """

    def __init__(
        self,
        name: str,
        address: str,
        settings: Settings,
        context: DestinationContext,
        *,
        steps: tuple[str, ...],
        may_be: str,
        is_not: str,
        knows_repeats: bool = False,
        within: float = CALL_WITHIN,
    ) -> None:
        self._name = name
        self._address = address
        self._settings = settings.model_dump(mode="json")
        self._context = context
        self._steps = steps
        self._may_be = may_be
        self._is_not = is_not
        self._knows_repeats = knows_repeats
        self._within = within
        # One at a time: what is sent appears in the order of its queue.
        self._turn = DeferredSemaphore(1)
        self._state = EndpointState.IDLE
        self._since = real_ms()
        self._detail = ""

    def start(self) -> None:
        """Nothing: the receiver is visited when there is something for it."""

    def deliver(self, parcel: Parcel) -> Deferred[Outcome]:
        """Run the steps for *parcel*."""
        return self._turn.run(lambda: ensureDeferred(self._run(parcel)))

    def stop(self) -> Deferred[None]:
        """End after the parcel in hand."""

        def stopped(_: Any) -> None:
            self._stand(EndpointState.STOPPED)

        return self._turn.acquire().addCallback(stopped)

    def health(self) -> tuple[Health, ...]:
        """How the last parcel went."""
        return (Health(self._state, self._address, self._since, self._detail),)

    async def _run(self, parcel: Parcel) -> Outcome:
        header = {
            "settings": self._settings,
            "channel": self._context.channel,
            "kind": parcel.kind,
            "name": parcel.name,
            "delivery_id": parcel.delivery_id,
            "size": len(parcel.body),
        }
        reply = Reply({})
        for step in self._steps:
            last = step == self._steps[-1]
            try:
                reply = await self._context.workers.call(
                    f"{self._name}.{step}", header, (parcel.body,), timeout=self._within
                )
            except Exception as error:  # a worker that died or hangs tells nothing of what it had done
                self._context.log.failure(f"{self._name}: {step} ended without a word", error)
                return self._without_a_word(error, last=last)
            if (failure := reply.header.get("failure")) is not None:
                reason = str(reply.header["reason"])
                state = EndpointState(reply.header["state"])
                self._stand(state, "" if state == EndpointState.CONNECTED else reason)
                return self._outcome(Failure(failure), reason)
        self._stand(EndpointState.CONNECTED)
        return Outcome(None, answer=reply.parts[0] if reply.parts else None)

    def _without_a_word(self, error: Exception, *, last: bool) -> Outcome:
        what = error.what if isinstance(error, HubError) else "The transfer ended without a word."
        self._stand(EndpointState.RETRYING, what)
        if last:
            return self._outcome(Failure.AMBIGUOUS, f"{what} {self._may_be}")
        return Outcome(Failure.TRANSIENT, f"{what} {self._is_not}")

    def _outcome(self, failure: Failure, reason: str) -> Outcome:
        if failure is Failure.AMBIGUOUS and self._knows_repeats:
            return Outcome(Failure.TRANSIENT, f"{reason} It is sent again: the receiver takes it once.")
        return Outcome(failure, reason)

    def _stand(self, state: EndpointState, detail: str = "") -> None:
        if state != self._state:
            self._since = real_ms()
        self._state, self._detail = state, detail
