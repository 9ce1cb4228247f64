"""Very many claims that wait for a payment, put into a store directly, and the remittance that pays them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, insert

from hub.billing.config import BillingConfig
from hub.billing.ledger import PAYER, REVENUE, UNBILLED
from hub.billing.values import Charge, Name, Patient
from hub.core.codec import to_plain
from hub.core.ids import IdMaker
from hub.core.vault import Vault
from hub.store import tables

AT_ONCE = 1000
DAY = date(2026, 11, 10)
CHARGE, PAID = Decimal("150.00"), Decimal("80.00")
_CENTS = int(CHARGE * 100)
TRACE = "EFTCROWD"
Rows = dict[Any, list[dict[str, Any]]]


def number(place: int) -> str:
    """The control number of the claim at *place*, from 0."""
    return f"HCROWD{place:06d}"


def fill(store: Engine, vault: Vault, config: BillingConfig, payer_id: str, count: int) -> None:
    """Put *count* sent claims over one line of 150.00 into the empty *store*, all of one patient."""
    ids = IdMaker()
    owner = {"organisation": config.practice.organisation, "partition": 0}
    patient_id, visit_id = ids.next(), ids.next()
    patient = Patient(mrn="M1", name=Name(family="Crowd", given="Every"))
    bodies = {
        "patient": {"mrn": "M1", "authority": "", "patient": to_plain(patient)},
        "visit": {"account": "A1", "as_of": ""},
    }
    once: Rows = {
        tables.patient: [{"id": patient_id, **owner, "as_of": "", "updated_at": 0, "version": 1}],
        tables.visit: [
            {
                "id": visit_id,
                **owner,
                "patient_id": patient_id,
                "account_digest": b"A1",
                "state": "open",
                "source_channel": "ehr_visits",
                "updated_at": 0,
                "version": 1,
                "visit_on": "",
                "department": "",
            }
        ],
    }
    for table, rows in once.items():
        rows[0]["body"] = vault.seal_json(bodies[table.name], f"{table.name}.body")
    _write(store, once)
    for start in range(0, count, AT_ONCE):
        made: Rows = {}
        for place in range(start, min(start + AT_ONCE, count)):
            about = {"patient_id": patient_id, "visit_id": visit_id}
            _claim(made, vault, ids, _Debt(number(place), ids.next(), ids.next(), payer_id, owner, about))
        _write(store, made)


@dataclass(frozen=True, slots=True)
class _Debt:
    """One charge of :data:`CHARGE` and the claim that it is on."""

    name: str
    charge_id: int
    claim_id: int
    payer_id: str
    owner: dict[str, Any]
    about: dict[str, int]  # patient and visit


def _claim(made: Rows, vault: Vault, ids: IdMaker, debt: _Debt) -> None:
    """The rows of a claim that its payer has accepted."""
    _charge_row(made, vault, debt)
    same = {**debt.owner, **debt.about, "control_number": debt.name, "chain_id": debt.claim_id, "frequency": "1"}
    _add(
        made,
        tables.claim,
        **{"id": debt.claim_id, **same},
        form="837P",
        payer_id=debt.payer_id,
        partner="clearinghouse",
        environment="test",
        rendering_npi="",
        place_of_service="11",
        service_on=DAY.isoformat(),
        total_cents=_CENTS,
        state="accepted payer",
        state_business_at=0,
        created_business_at=0,
        body=vault.seal_json({}, "claim.body"),
    )
    _add(
        made,
        tables.claim_line,
        claim_id=debt.claim_id,
        ordinal=1,
        control_number=f"{debt.name}L01",
        charge_id=debt.charge_id,
        code="99213",
        units_milli=1000,
        charge_cents=_CENTS,
        service_on=DAY.isoformat(),
    )
    _entry(made, ids.next(), debt, "charge", None, (UNBILLED, REVENUE))
    _entry(made, ids.next(), debt, "claim", debt.claim_id, (PAYER, UNBILLED))


def _charge_row(made: Rows, vault: Vault, debt: _Debt) -> None:
    said = Charge(transaction=debt.name, account="A1", service_date=DAY, code="99213", amount=CHARGE)
    _add(
        made,
        tables.charge,
        **{"id": debt.charge_id, **debt.owner, **debt.about},
        digest=debt.name.encode(),
        service_on=DAY.isoformat(),
        code="99213",
        units_milli=1000,
        amount_cents=_CENTS,
        state="claimed",
        claim_id=debt.claim_id,
        message_id=0,
        source_channel="ehr_visits",
        body=vault.seal_json({"charge": to_plain(said)}, "charge.body"),
    )


def _entry(made: Rows, entry_id: int, debt: _Debt, kind: str, claim_id: int | None, accounts: tuple[str, str]) -> None:
    """An entry that moves the charge's amount to the first of *accounts* from the second."""
    _add(
        made,
        tables.ledger_entry,
        id=entry_id,
        entry_key=f"{kind}/{debt.charge_id}",
        kind=kind,
        business_at=0,
        recorded_at=0,
        posted_on=DAY.isoformat(),
        actor="hub",
        claim_id=claim_id,
    )
    for ordinal, (account, sign) in enumerate(zip(accounts, (1, -1), strict=True), start=1):
        _add(
            made,
            tables.ledger_posting,
            entry_id=entry_id,
            ordinal=ordinal,
            account=account,
            amount_cents=sign * _CENTS,
            patient_id=debt.about["patient_id"],
            charge_id=debt.charge_id,
            payer_id=debt.payer_id,
            claim_id=claim_id,
        )


def _add(made: Rows, table: Any, **row: Any) -> None:
    """One more row of *table*, with the table's defaults."""
    defaults = {c.name: getattr(c.default, "arg", None) for c in table.c if c.name != "fence"}
    made.setdefault(table, []).append(defaults | row)


def _write(store: Engine, made: Rows) -> None:
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        for table, rows in made.items():
            connection.execute(insert(table), rows)


def remittance(
    config: BillingConfig, payer_id: str, sender: str, receiver: str, count: int, first: int = 0
) -> Iterator[bytes]:
    """The 835 that pays each of *count* claims 80.00, in pieces, beginning with the *first*, as a payment of its own.

    The contract takes 50.00, the patient owes 20.00.
    """
    now = datetime(2026, 11, 20, 9)  # noqa: DTZ001 - an ISA's date and time have no zone
    practice = config.practice
    head = (
        (
            f"ISA*00*          *00*          *ZZ*{sender:<15}*ZZ*{receiver:<15}"
            f"*{now:%y%m%d}*{now:%H%M}*^*00501*000000001*0*T*:"
        ),
        f"GS*HP*{sender}*{receiver}*{now:%Y%m%d}*{now:%H%M}*1*X*005010X221A1",
        "ST*835*0001",
        f"BPR*I*{PAID * count}*C*ACH************{now:%Y%m%d}",
        f"TRN*1*{TRACE}{first or ''}*1999999999",
        f"N1*PR*{config.payers[payer_id].name.upper()}*XV*{payer_id}",
        f"N1*PE*{practice.name.upper()}*XX*{practice.npi}",
        "LX*1",
    )
    yield _segments(head)
    for place in range(first, first + count):
        name = number(place)
        yield _segments(
            (
                f"CLP*{name}*1*{CHARGE}*{PAID}*20*12*ICN{place}*11*1",
                "NM1*QC*1*CROWD*EVERY****MI*X1",
                f"SVC*HC:99213*{CHARGE}*{PAID}**1",
                f"DTM*472*{DAY:%Y%m%d}",
                "CAS*CO*45*50",
                "CAS*PR*3*20",
                f"REF*6R*{name}L01",
                "AMT*B6*100",
            )
        )
    segments = len(head) - 2 + 8 * count + 1
    yield _segments((f"SE*{segments}*0001", "GE*1*1", "IEA*1*000000001"))


def _segments(texts: tuple[str, ...]) -> bytes:
    return "".join(f"{text}~" for text in texts).encode()
