"""Very many claims that wait for a payment, put into a store directly, and the remittance that pays them."""

from __future__ import annotations

from collections.abc import Iterator
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
TRACE = "EFTCROWD"
Rows = dict[Any, list[dict[str, Any]]]


def number(place: int) -> str:
    """The control number of the claim at *place*, from 0."""
    return f"HCROWD{place:06d}"


def fill(store: Engine, vault: Vault, config: BillingConfig, payer_id: str, count: int) -> None:
    """Put *count* sent claims over one line of 150.00 into the empty *store*, all of one patient."""
    ids = IdMaker()
    owner = {"organisation": config.practice.organisation, "partition": 0, "fence": 0}
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
            _claim(made, vault, ids, number(place), owner, about, payer_id)
        _write(store, made)


def _claim(
    made: Rows, vault: Vault, ids: IdMaker, name: str, owner: dict[str, Any], about: dict[str, int], payer_id: str
) -> None:
    charge_id, claim_id = ids.next(), ids.next()
    cents = int(CHARGE * 100)
    said = Charge(transaction=name, account="A1", service_date=DAY, code="99213", amount=CHARGE)

    def add(table: Any, **row: Any) -> None:
        defaults = {c.name: getattr(c.default, "arg", None) for c in table.c}
        made.setdefault(table, []).append(defaults | row)

    add(
        tables.charge,
        **{"id": charge_id, **owner, **about, "digest": name.encode(), "service_on": DAY.isoformat(), "code": "99213"},
        units_milli=1000,
        amount_cents=cents,
        state="claimed",
        claim_id=claim_id,
        message_id=0,
        source_channel="ehr_visits",
        body=vault.seal_json({"charge": to_plain(said)}, "charge.body"),
    )
    add(
        tables.claim,
        **{"id": claim_id, **owner, **about, "control_number": name, "chain_id": claim_id, "frequency": "1"},
        form="837P",
        payer_id=payer_id,
        partner="clearinghouse",
        environment="test",
        rendering_npi="",
        place_of_service="11",
        service_on=DAY.isoformat(),
        total_cents=cents,
        state="accepted payer",
        state_business_at=0,
        created_business_at=0,
        body=vault.seal_json({}, "claim.body"),
    )
    add(
        tables.claim_line,
        claim_id=claim_id,
        ordinal=1,
        control_number=f"{name}L01",
        charge_id=charge_id,
        code="99213",
        units_milli=1000,
        charge_cents=cents,
        service_on=DAY.isoformat(),
    )
    for kind, debit, credit in (("charge", UNBILLED, REVENUE), ("claim", PAYER, UNBILLED)):
        entry_id = ids.next()
        add(
            tables.ledger_entry,
            id=entry_id,
            entry_key=f"{kind}/{charge_id}",
            kind=kind,
            business_at=0,
            recorded_at=0,
            posted_on=DAY.isoformat(),
            actor="hub",
            claim_id=claim_id if kind == "claim" else None,
        )
        for ordinal, (account, sign) in enumerate(((debit, 1), (credit, -1)), start=1):
            add(
                tables.ledger_posting,
                entry_id=entry_id,
                ordinal=ordinal,
                account=account,
                amount_cents=sign * cents,
                patient_id=about["patient_id"],
                charge_id=charge_id,
                payer_id=payer_id,
                claim_id=claim_id if kind == "claim" else None,
            )


def _write(store: Engine, made: Rows) -> None:
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        for table, rows in made.items():
            connection.execute(insert(table), rows)


def remittance(config: BillingConfig, payer_id: str, sender: str, receiver: str, count: int) -> Iterator[bytes]:
    """The 835 that pays each of *count* claims 80.00, in pieces. The contract takes 50.00, the patient owes 20.00."""
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
        f"TRN*1*{TRACE}*1999999999",
        f"N1*PR*{config.payers[payer_id].name.upper()}*XV*{payer_id}",
        f"N1*PE*{practice.name.upper()}*XX*{practice.npi}",
        "LX*1",
    )
    yield _segments(head)
    for place in range(count):
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
