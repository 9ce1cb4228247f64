"""A month of eight providers and twelve payers in which every edit is provoked, and a clearinghouse that loses claims.

Each claim ends with its payer or in a queue for the reason that was planted; what is lost is found; no machine changes
what it may not.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from hub.billing import claims
from hub.billing.claim_body import ClaimBody
from hub.billing.config import Provider
from hub.billing.edits import EDITS
from hub.store import tables
from tests.billing.edit_samples import SAMPLES, STAY, of
from tests.billing.test_acknowledgements import ack_277ca, ack_999

NPIS = ("1999000114", "1999000221", "1999000338", "1999000445", "1999000551", "1999000668", "1999000775", "1999000882")
PAYERS = tuple(f"900{number:02d}" for number in range(1, 13))
PARTED = {"CL-19"}  # the hub parts such a claim before any edit sees it
CLEAN = 24
PROFESSIONAL = {f"clean {number}": of() for number in range(CLEAN)}
INSTITUTIONAL = {f"stay {number}": of(STAY) for number in range(CLEAN // 4)}
PLANTED = {**{name: case[1] for name, case in SAMPLES.items() if name not in PARTED}, **PROFESSIONAL, **INSTITUTIONAL}
WARNED = {"LN-03", "LN-06"}  # errors in graver cases than those planted here
STOPPING = {name for name, edit in EDITS.items() if edit.severity == "error"} - PARTED - WARNED


@pytest.fixture
def month(world, monkeypatch):
    """The claims of the month, made of planted content and checked in the planted context."""

    def build(_config, *, control_number, patient, **_):
        said = PLANTED[patient.mrn][0]
        lines = said.lines
        if patient.mrn != "LN-21":
            lines = tuple(replace(each, control_number=f"{control_number}L{n:02d}") for n, each in enumerate(lines, 1))
        number = said.control_number if patient.mrn == "CL-01" else control_number
        return replace(said, control_number=number, lines=lines)

    def context(decision, row, *_):
        patient = decision.row("patient", id=row["patient_id"])
        return PLANTED[decision.unseal("patient", patient["body"])["mrn"]][1]

    monkeypatch.setattr(claims.canonical, "build", build)
    monkeypatch.setattr(claims, "context_of", context)
    practice = world.config.practice
    providers = tuple(Provider(npi=npi, taxonomy="207Q00000X", family="EXAMPLAR", given="ROBIN") for npi in NPIS)
    payer = world.config.payers["90001"]
    world.config = replace(
        world.config,
        practice=practice.model_copy(update={"providers": providers}),
        payers={name: payer.model_copy(update={"payer_id": name, "rules": ()}) for name in PAYERS},
    )
    values = []
    for number, (name, (said, _)) in enumerate(PLANTED.items()):
        day = world.clock.today() - timedelta(days=number % 28)
        coverage = world.coverage(PAYERS[number % len(PAYERS)])
        patient = world.patient(name)
        values.append(world.visit(name, patient=patient, visit_date=day, coverages=(coverage,)))
        for place, line in enumerate(said.lines, 1):
            amount = max(line.charge, Decimal(1)).quantize(Decimal("0.01"))
            values.append(
                world.charge(
                    f"{name}/{place}",
                    name,
                    mrn=name,
                    code=f"X{place:04d}",
                    amount=amount,
                    service_date=day,
                    performing_npi=NPIS[number % len(NPIS)],
                )
            )
    world.decide_values(values)
    return world


def planted(world):
    """Each claim's row by what was planted in it."""
    names = {row["id"]: world.open(tables.patient, row)["mrn"] for row in world.rows(tables.patient)}
    return {names[row["patient_id"]]: row for row in world.rows(tables.claim)}


def answers(body, number):
    """The 999 and the 277CA of a clearinghouse that loses every ninth claim and refuses every eleventh."""
    group = re.search(rb"GS\*HC\*[^*]+\*[^*]+\*[^*]+\*[^*]+\*(\d+)", body)[1].decode()
    reference = re.search(rb"BHT\*0019\*00\*([^*]+)", body)[1].decode()
    found = [claim.decode() for claim in re.findall(rb"~CLM\*([^*]+)\*", body)]
    lost = found[::9]
    kept = [claim for claim in found if claim not in lost]
    said = [
        (claim, ["STC*A7:500:85*20261111*U*1" if place % 11 == 10 else "STC*A2:20*20261111*WQ*1"], "")
        for place, claim in enumerate(kept)
    ]
    return lost, [ack_999("A", group=group), ack_277ca(said, role="AY", reference=reference)]


def test_every_claim_ends_accepted_or_in_a_queue_for_what_was_planted(month):
    batches = month.bill_and_batch()
    assert {emit.kind for emit in batches} == {"837P", "837I"}
    lost = []
    for number, emit in enumerate(batches):
        gone, files = answers(emit.body, number)
        lost += gone
        for raw in files:
            month.decide_file(raw)
    month.advance(days=4)
    month.run_due("silence")

    items = {}
    for item in month.items():
        items.setdefault(item["claim_id"], []).append(item)
    rows = planted(month)
    assert set(rows) == set(PLANTED)
    missed = set()
    for name, row in rows.items():
        queues = {item["queue"]: item for item in items.get(row["id"], [])}
        if name in STOPPING:
            assert set(queues) == {"claim edits"}, name
            assert queues["claim edits"]["rule"] == name
            assert row["state"] == "needs fix"
        elif "lost claims" in queues:
            missed.add(row["control_number"])
            assert row["state"] in {"sent", "accepted 999"}
        elif row["state"] == "rejected":
            assert set(queues) == {"rejections"}, name
        elif row["state"] == "needs fix":  # what the guide's own check will not let pass
            assert {item["rule"] for item in queues.values()} <= {name, "guide"}, name
        else:
            assert (row["state"], queues) == ("accepted clearinghouse", {}), name
    assert missed == set(lost)
    assert len(lost) > 3
    no_machine_changed_a_fact(month, rows)
    month.check_ledger()


def no_machine_changed_a_fact(month, rows):
    """Codes, modifiers, units, amounts, diagnoses, dates and identities are as they were planted."""
    for name, row in rows.items():
        said = PLANTED[name][0]
        now = ClaimBody.from_plain(month.open(tables.claim, row)).claim
        facts = ("code", "modifiers", "units", "charge", "service_date", "service_to", "pointers")
        assert [[getattr(line, fact) for fact in facts] for line in now.lines] == [
            [getattr(line, fact) for fact in facts] for line in said.lines
        ], name
        assert bare(now.diagnoses) == bare(said.diagnoses), name
        assert bare((now.subscriber.member_id,)) == bare((said.subscriber.member_id,)), name
        assert (now.subscriber.birth_date, now.billing_provider.npi) == (
            said.subscriber.birth_date,
            said.billing_provider.npi,
        )


def bare(codes):
    """Codes without what form alone may change."""
    return [re.sub(r"[^A-Z0-9]", "", code.upper()) for code in codes]
