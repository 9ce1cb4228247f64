"""Sources that look for something again and again: the looks, their pauses, and how the last one went."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, ensureDeferred, succeed

from hub.connectors.times import Polls
from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.engine.contracts import EndpointState, Health, Reply, SourceContext

reactor: Any = _reactor


class Polling:
    """A source whose :meth:`look` is awaited again and again, one at a time.

    A look that fails is no end: the next one comes after *again_after* seconds.
    """

    def __init__(self, name: str, address: str, context: SourceContext, again_after: float) -> None:
        self._name = name
        self._address = address
        self._context = context
        self._again_after = again_after
        self._running = False
        self._paused = False
        self._visit: Deferred[None] = succeed(None)
        self._visiting = False
        self._timer: Any = None
        self._state = EndpointState.IDLE
        self._since = real_ms()
        self._detail = ""

    async def look(self) -> float:
        """Look once; returns how many seconds to wait for the next look."""
        raise NotImplementedError

    @property
    def goes_on(self) -> bool:
        """Whether a look that has much to do is to go on with it."""
        return self._running and not self._paused

    def first_wait(self) -> float:
        """The seconds from the start to the first look."""
        return 0.0

    def start(self) -> None:
        """Begin to look."""
        self._running = True
        self._later(self.first_wait())

    def pause(self) -> None:
        """Look no more; a look under way is finished."""
        self._paused = True
        self._cancel()

    def resume(self) -> None:
        """Look again at once."""
        self._paused = False
        if self._running and not self._visiting:
            self._cancel()
            self._later(0)

    def stop(self) -> Deferred[None]:
        """End after the look under way."""
        self._running = False
        self._cancel()
        done: Deferred[None] = Deferred()
        self._visit.addCallback(done.callback)
        self.stand(EndpointState.STOPPED)
        return done

    def health(self) -> tuple[Health, ...]:
        """How the last look went."""
        state = EndpointState.STOPPED if self._paused else self._state
        return (Health(state, self._address, self._since, self._detail),)

    def stand(self, state: EndpointState, detail: str = "") -> None:
        """Note how the endpoint stands."""
        if state != self._state:
            self._since = real_ms()
        self._state, self._detail = state, detail

    def failed(self, reply: Reply) -> bool:
        """Whether a task replied ``{"failure": sentence, "state": word}``; that is then how the endpoint stands."""
        sentence = reply.header.get("failure")
        if sentence is None:
            return False
        self.stand(EndpointState(reply.header["state"]), sentence)
        self._context.log.warning(f"{self._name}: not reached", state=reply.header["state"])
        return True

    def _later(self, seconds: float) -> None:
        self._timer = reactor.callLater(seconds, self._begin)

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _begin(self) -> None:
        self._visiting = True
        self._visit = ensureDeferred(self._visited())

    async def _visited(self) -> None:
        pause = self._again_after
        try:
            pause = await self.look()
        except Exception as error:  # whatever it is, the next look tries again
            self._context.log.failure(f"{self._name}: visit failed", error)
            what = error.what if isinstance(error, HubError) else f"The visit failed ({type(error).__name__})."
            self.stand(EndpointState.RETRYING, what)
        self._visiting = False
        if self.goes_on:
            self._later(pause)


class TimedPolling(Polling):
    """A source whose looks follow each other as *times* say: every so often, or at the times of a cron expression."""

    def __init__(self, name: str, address: str, context: SourceContext, times: Polls) -> None:
        super().__init__(name, address, context, times.poll)
        self._times = times

    def first_wait(self) -> float:
        """At once, or at the first time of the cron expression."""
        return 0.0 if self._times.cron is None else self.wait()

    def wait(self) -> float:
        """The seconds until the next look."""
        return self._times.wait(self._context.clock, self._context.zone)
