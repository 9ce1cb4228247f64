"""A payer for tests: writes 835s from plain values, and hands them to billing as the engine would."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from hub.billing import acknowledgements, reconcile
from hub.billing.decision import Decision
from hub.billing.values import PartnerFile
from hub.core.clock import real_ms
from hub.store import tables
from hub.store.changes import apply
from hub.store.database import reading

Cas = tuple[str, str, str]  # group, reason, amount


@dataclass(frozen=True)
class Line:
    """One SVC: *cas* are its adjustments, *control* our REF*6R."""

    code: str
    charge: str
    paid: str
    cas: tuple[Cas, ...] = ()
    control: str = ""
    modifiers: tuple[str, ...] = ()
    original: str = ""
    day: str = "20261110"
    remarks: tuple[str, ...] = ()

    def segments(self) -> list[str]:
        procedure = ":".join(("HC", self.code, *self.modifiers))
        svc = f"SVC*{procedure}*{self.charge}*{self.paid}"
        if self.original:
            svc += f"***HC:{self.original}"
        made = [svc, f"DTM*472*{self.day}", *_cas(self.cas)]
        made += [f"REF*6R*{self.control}"] if self.control else []
        return [*made, *(f"LQ*HE*{remark}" for remark in self.remarks)]

    def reversed(self) -> Line:
        return replace(self, charge=_negative(self.charge), paid=_negative(self.paid), cas=_negatives(self.cas))


@dataclass(frozen=True)
class Paid:
    """One CLP."""

    number: str
    charge: str
    paid: str
    lines: tuple[Line, ...] = ()
    cas: tuple[Cas, ...] = ()
    status: str = "1"
    icn: str = "ICN1"
    patient: str = ""
    member: str = "W123456789"
    interest: str = ""
    remark: str = ""
    news: str = ""  # one more NM1

    def segments(self) -> list[str]:
        made = [
            f"CLP*{self.number}*{self.status}*{self.charge}*{self.paid}*{self.patient}*12*{self.icn}*11*1",
            *_cas(self.cas),
            f"NM1*QC*1*EXAMPLAR*WREN****MI*{self.member}",
        ]
        if self.news:
            made.append(self.news)
        if self.remark:
            made.append(f"MOA***{self.remark}")
        if self.interest:
            made.append(f"AMT*I*{self.interest}")
        return [*made, *(segment for line in self.lines for segment in line.segments())]

    def reversed(self, icn: str = "") -> Paid:
        return replace(
            self,
            status="22",
            charge=_negative(self.charge),
            paid=_negative(self.paid),
            patient="",
            icn=icn or self.icn,
            cas=_negatives(self.cas),
            lines=tuple(line.reversed() for line in self.lines),
        )


@dataclass(frozen=True)
class Remit:
    """One 835. The amount is what the claims and provider adjustments come to, unless it is given."""

    claims: tuple[Paid, ...] = ()
    plb: tuple[tuple[str, str], ...] = ()  # reason:reference, amount
    trace: str = "EFT1"
    payer: str = "90001"
    name: str = "CEDAR MUTUAL"
    payee: str = "1999000015"
    tax_id: str = "371990001"
    amount: str | None = None
    handling: str = "C"
    method: str = "ACH"

    @property
    def total(self) -> Decimal:
        paid = sum((Decimal(each.paid) for each in self.claims), Decimal(0))
        return paid - sum((Decimal(amount) for _, amount in self.plb), Decimal(0))

    def segments(self, number: int) -> list[str]:
        amount = self.amount if self.amount is not None else f"{self.total:f}"
        body = [
            f"ST*835*{number:04d}",
            f"BPR*{self.handling}*{amount}*C*{self.method}************20261120",
            f"TRN*1*{self.trace}*1999999999",
            f"N1*PR*{self.name}*XV*{self.payer}",
            f"N1*PE*SOMEBODY*XX*{self.payee}",
            f"REF*TJ*{self.tax_id}",
            "LX*1",
            *(segment for each in self.claims for segment in each.segments()),
            *(f"PLB*{self.payee}*20261231*{reason}*{amount}" for reason, amount in self.plb),
        ]
        return [*body, f"SE*{len(body) + 1}*{number:04d}"]


def written(*remits: Remit, control: int = 1, usage: str = "T") -> bytes:
    """The file with *remits*, one ST each."""
    isa = (
        f"ISA*00*          *00*          *ZZ*CLEARWAY01     *ZZ*ALDERST01      "
        f"*261120*0900*^*00501*{control:09d}*0*{usage}*:"
    )
    body = [segment for number, each in enumerate(remits, start=1) for segment in each.segments(number)]
    segments = [
        isa,
        f"GS*HP*CLEARWAY01*ALDERST01*20261120*0900*{control}*X*005010X221A1",
        *body,
        f"GE*{len(remits)}*{control}",
        f"IEA*1*{control:09d}",
    ]
    return "".join(f"{segment}~" for segment in segments).encode()


@dataclass
class Desk:
    """Takes remittances into a world, and knows its claims."""

    world: Any
    control: int = 0
    emitted: list[Any] = field(default_factory=list)

    def decision(self, message_id: int | None, connection: Any) -> Decision:
        world = self.world
        return Decision(
            connection=connection,
            vault=world.vault,
            clock=world.clock,
            ids=world.ids.block(),
            config=world.config,
            now_ms=world.clock.now_ms(),
            real_ms=real_ms(),
            today=world.clock.today().isoformat(),
            message_id=message_id,
            channel="responses_in",
        )

    def decided(self, message_id: int, connection: Any) -> Decision:
        """What billing decides next about the file of a message."""
        decision = self.decision(message_id, connection)
        acknowledgements.read_file(decision, PartnerFile(partner="clearway", kinds=()))
        return decision

    def send(self, *remits: Remit, usage: str = "T") -> list[dict[str, Any]]:
        """Take a file in to the end; the rows of its remittances."""
        self.control += 1
        return self.take(written(*remits, control=self.control, usage=usage))

    def take(self, raw: bytes, steps: int = 10_000) -> list[dict[str, Any]]:
        """Take the 835s of *raw* in, in at most *steps* decisions; the rows of its remittances."""
        message_id = self.world.add_message(channel="responses_in", kind="835", raw=raw)
        self.go_on(message_id, steps)
        return self.world.rows(tables.remittance, message_id=message_id)

    def go_on(self, message_id: int, steps: int = 10_000) -> None:
        for _ in range(steps):
            with reading(self.world.store) as connection:
                decision = self.decided(message_id, connection)
            with self.world.writing() as connection:
                apply(connection, decision.changes)
            self.emitted += decision.changes.emits
            if decision.complete:
                return

    def claim(
        self, account: str, amounts: Sequence[str] = ("150.00",), codes: Iterable[str] = (), **visit: Any
    ) -> dict[str, Any]:
        """A claim that was sent, with one line for each of *amounts*; its row."""
        world = self.world
        said = world.visit(account=account, **visit)
        known = list(codes) or ["99213", "83036", "85025", "36415", "80053", "93000"]
        charges = [
            world.charge(
                transaction=f"{account}-{n}",
                account=account,
                mrn=said.patient.mrn,
                code=known[n],
                amount=Decimal(amount),
            )
            for n, amount in enumerate(amounts)
        ]
        before = {row["id"] for row in world.rows(tables.claim)}
        world.decide_values([said, *charges])
        world.bill_and_batch()
        made = [row for row in world.rows(tables.claim) if row["id"] not in before]
        assert len(made) == 1
        return made[0]

    def state(self, claim: dict[str, Any]) -> str:
        return str(self.world.one(tables.claim, id=claim["id"])["state"])

    def lines(self, claim: dict[str, Any]) -> list[dict[str, Any]]:
        return list(self.world.rows(tables.claim_line, claim_id=claim["id"]))


def _cas(adjustments: Iterable[Cas]) -> list[str]:
    return [f"CAS*{group}*{reason}*{amount}" for group, reason, amount in adjustments]


def _negative(amount: str) -> str:
    return f"{-Decimal(amount):f}"


def _negatives(adjustments: Iterable[Cas]) -> tuple[Cas, ...]:
    return tuple((group, reason, _negative(amount)) for group, reason, amount in adjustments)


def in_full(claim: dict[str, Any], **fields: Any) -> Paid:
    """The 150.00 claim, paid with 100.00 and written down by 50.00."""
    given: dict[str, Any] = {
        "number": claim["control_number"],
        "charge": "150",
        "paid": "100",
        "lines": (Line("99213", "150", "100", (("CO", "45", "50"),)),),
    }
    return Paid(**{**given, **fields})


def check(desk: Desk) -> reconcile.Figures:
    """The figures of the whole store, in which no cent lacks its place and nothing is lost on the way."""
    with reading(desk.world.store) as connection:
        report = reconcile.report(connection)
    assert report.figures.ok, [str(each) for each in report.figures.differences]
    # Messages and their lines are counted by the engine, which is not here.
    lost = [stage for stage in report.stages if not stage.ok and stage.name not in {"received", "mapped"}]
    assert lost == []
    desk.world.check_ledger()
    return report.figures
