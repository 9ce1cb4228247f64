"""One performance: the stage is set, the cast and the hub play, and at the end the books are compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Connection, Engine, func, select
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from hub.core.errors import HubError
from hub.core.log import Log
from hub.core.vault import Vault, open_vault
from hub.demo.biller import Biller
from hub.demo.cast import Cast
from hub.demo.reconcile import Reconciliation, read_books, reconcile
from hub.demo.stage import Play, Stage, configurations, write_overlay
from hub.engine.control import EngineAwayError, ask_engine
from hub.security.users import ensure_first_user
from hub.site.load import load_site
from hub.site.places import control_socket, key_file, store_url
from hub.site.supervisor import Supervisor
from hub.store.database import open_store, reading
from hub.store.schema import upgrade
from hub.store.tables import charge, claim, delivery, due, ledger_posting, message, remittance, work_item

START_SECONDS = 180.0
LOOK_SECONDS = 0.5
QUIET_LOOKS = 4
_STANDING = (
    "batch",
    "silence",
    "missed",
    "missing charges",
    "crossover",
    "correction",
)  # what is always planned, whatever was done
WAITING_STATES = ("ready", "batched", "sent", "accepted 999", "received", "accepted clearinghouse", "accepted payer")


class PerformanceError(HubError):
    """The demonstration could not be played to its end."""

    code = "H702"


@dataclass(frozen=True, slots=True)
class Scene:
    """How far it has come: counts for the progress display, and what is still on its way."""

    business_day: str
    visits: int
    visits_total: int
    messages: int
    charges: int
    claims: int
    claims_answered: int
    remittances: int
    paid_cents: int
    items: int
    waiting: dict[str, int] = field(default_factory=dict)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on its way any more."""
        return not any(self.waiting.values())


class Performance:
    """Runs one :class:`Play` on a :class:`Stage`; *show* is called with every new :class:`Scene`.

    What the processes write goes to *log_file*.
    """

    def __init__(self, stage: Stage, play: Play, reactor: Any, log_file: TextIO, show: Callable[[Scene], None]) -> None:
        self.stage = stage
        self.play = play
        self._reactor = reactor
        self._show = show
        self._cast = Cast(reactor, configurations(stage, play), stage.world, log_file.fileno())
        self.hub = Supervisor(stage.site, reactor, Log(log_file), output=log_file.fileno())
        self._store: Engine | None = None
        self._vault: Vault | None = None
        self._stopping = False
        self._biller: Biller | None = None
        self.login: tuple[str, str] | None = None

    @property
    def address(self) -> str:
        """Where the pages are."""
        return f"http://127.0.0.1:{self.stage.web_port}/"

    @inlineCallbacks
    def start(self) -> Any:
        """Start the cast, then the hub, and tell the EHR where the hub listens."""
        ready = yield self._cast.start()
        write_overlay(self.stage, self.play, ready)
        site = load_site(self.stage.site).require_sound()
        self._store = open_store(store_url(site))
        self._vault = open_vault(key_file(site))
        upgrade(self._store)
        with self._store.connect().execution_options(writes=True) as connection, connection.begin():
            self.login = ensure_first_user(connection, must_change=False)
        self._socket = control_socket(site)
        self._zone_clock = site.clock
        if self.play.days:
            self._biller = Biller(self._store, self._socket)
        self.hub.start()
        addresses = yield self._addresses()
        self.stage.hub_file.write_text(json.dumps(addresses))

    @inlineCallbacks
    def until_quiet(self, longest_seconds: float) -> Any:
        """Wait until nothing is on its way any more. Raises :class:`PerformanceError` after *longest_seconds*."""
        deadline = self._reactor.seconds() + longest_seconds
        quiet = 0
        while quiet < QUIET_LOOKS:
            yield deferLater(self._reactor, LOOK_SECONDS)
            if self._stopping:
                return
            if self._biller is not None:
                yield deferToThread(self._biller.work)
            scene = yield deferToThread(self._look)
            self._show(scene)
            quiet = quiet + 1 if scene.is_quiet else 0
            if self._reactor.seconds() > deadline:
                left = ", ".join(f"{number} {what}" for what, number in scene.waiting.items() if number)
                raise PerformanceError("The demonstration did not come to its end in time.", found=left)

    @inlineCallbacks
    def watch(self) -> Any:
        """Keep showing scenes until :meth:`stop`."""
        while not self._stopping:
            scene = yield deferToThread(self._look)
            self._show(scene)
            yield deferLater(self._reactor, LOOK_SECONDS)

    def reconciled(self) -> Deferred[Reconciliation]:
        """Compare the books as they are now."""
        return deferToThread(self._reconcile)

    @inlineCallbacks
    def stop(self) -> Any:
        """Drain the hub, then end the cast, which it may still have to answer."""
        self._stopping = True
        yield self.hub.stop()
        yield self._cast.stop()

    @inlineCallbacks
    def _addresses(self) -> Any:
        deadline = self._reactor.seconds() + START_SECONDS
        while True:
            try:
                status = yield deferToThread(ask_engine, self._socket, "status", {}, actor="demo")
                channels = status["channels"]
                return {
                    "mllp": channels["ehr_visits"]["sources"][0]["address"],
                    "fhir_hook": f"https://{channels['ehr_fhir']['sources'][0]['address']}/fhir/hook",
                    "fhir_hook_token": self.stage.hook_token,
                    "fhir_hook_ca": str(self._certificate()),
                }
            except EngineAwayError:
                if self.hub.gave_up.called or self._reactor.seconds() > deadline:
                    raise PerformanceError("The hub did not start.", fix="Its own words stand above.") from None
                yield deferLater(self._reactor, 0.1)

    def _certificate(self) -> Path:
        return next((self.stage.site / "var" / "tls").glob("*.pem"))

    def _look(self) -> Scene:
        assert self._store is not None
        summaries = self._cast.summaries()
        with reading(self._store) as connection:
            scene = _scene(connection, summaries, self._zone_clock.today().isoformat())
        scene.waiting["files to collect"] = sum(1 for _ in self.stage.world.glob("*/outbound/*"))
        return scene

    def _reconcile(self) -> Reconciliation:
        assert self._store is not None
        assert self._vault is not None
        ehr = read_books(self.stage.world / "ehr.books.jsonl")
        payer = read_books(self.stage.world / "payer.books.jsonl")
        clearinghouse = read_books(self.stage.world / "clearinghouse.books.jsonl")
        with reading(self._store) as connection:
            return reconcile(connection, self._vault, ehr, payer, clearinghouse)


def _scene(connection: Connection, summaries: dict[str, dict[str, Any]], day: str) -> Scene:
    def count(column: Any, *conditions: Any) -> int:
        return int(connection.execute(select(func.count(column)).where(*conditions)).scalar_one())

    by_state: dict[str, int] = dict(
        connection.execute(select(claim.c.state, func.count()).group_by(claim.c.state)).tuples().all()
    )
    lost = select(work_item.c.claim_id).where(work_item.c.queue == "lost claims", work_item.c.state == "open")
    missed = count(claim.c.id, claim.c.state.in_(WAITING_STATES), claim.c.id.in_(lost.where(work_item.c.claim_id > 0)))
    waiting_claims = sum(by_state.get(state, 0) for state in WAITING_STATES) - missed
    paid = connection.execute(
        select(func.coalesce(func.sum(ledger_posting.c.amount_cents), 0)).where(
            ledger_posting.c.account == "clearing", ledger_posting.c.claim_id.is_not(None)
        )
    ).scalar_one()
    ehr = summaries["ehr"]
    return Scene(
        business_day=day,
        visits=ehr.get("visits_done", 0),
        visits_total=ehr.get("visits_total", 0),
        messages=count(message.c.id),
        charges=count(charge.c.id),
        claims=sum(by_state.values()),
        claims_answered=sum(by_state.values()) - waiting_claims,
        remittances=count(remittance.c.id, remittance.c.state == "posted"),
        paid_cents=int(paid),
        items=count(work_item.c.id, work_item.c.state == "open"),
        waiting={
            **{f"{name} busy": int(not summary.get("idle", False)) for name, summary in summaries.items()},
            "messages in progress": count(message.c.id, message.c.onward == "in progress"),
            "deliveries": count(delivery.c.id, delivery.c.state.in_(("queued", "sending"))),
            "due": count(due.c.id, due.c.done.is_(False), due.c.kind.not_in(_STANDING)),
            "claims without an answer": waiting_claims,
            "remittances posting": count(remittance.c.id, remittance.c.state.in_(("staged", "posting"))),
        },
    )
