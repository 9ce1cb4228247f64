from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hub.store import tables
from tests.billing.payer import Desk, Line, Paid, Remit


def payments(desk: Desk) -> list[Any]:
    return [emit for emit in desk.emitted if emit.kind == "payment"]


def test_a_posted_claim_is_told_to_the_ehr_line_by_line(desk: Desk) -> None:
    claim = desk.claim("A1", ("150.00", "65.00"))
    paid = Paid(
        claim["control_number"],
        "215",
        "105",
        (
            Line("99213", "150", "80", (("CO", "45", "45"), ("PR", "3", "25"))),
            Line("83036", "65", "25", (("CO", "50", "40"),)),
        ),
    )
    desk.send(Remit((paid,)))
    (emit,) = payments(desk)
    body = json.loads(emit.body)
    assert emit.lane == body["account"] == "A1"
    assert {kind for kind, _ in emit.identifiers} == {"account", "claim", "trace", "mrn"}
    assert emit.name == body["result"]
    lines = body.pop("lines")
    remittance = desk.world.one(tables.remittance)
    assert body | {"result": ""} == {
        "event": "payment",
        "account": "A1",
        "visit_number": "V-A1",
        "mrn": "M1",
        "authority": "ALDER",
        "origin": "ehr_visits",
        "trace": "EFT1",
        "payer_id": "90001",
        "payer_name": "Cedar Mutual",
        "control_number": claim["control_number"],
        "payer_claim_number": "ICN1",
        "remittance": str(remittance["id"]),
        "form": "837P",
        "provider_npi": "1999000015",
        "status": "1",
        "paid_on": remittance["paid_on"],
        "undone": False,
        "remarks": [],
        "posted_on": desk.world.clock.today().isoformat(),
        "reversal": False,
        "result": "",
        "segment": "ISA 000000001, segment 8 CLP",
        "reverses": "",
    }
    assert lines == [
        {
            "transaction": "A1-0",
            "code": "99213",
            "modifiers": [],
            "service_date": "2026-11-10",
            "charge": "150.00",
            "paid": "80.00",
            "patient": "25.00",
            "adjustments": [
                {"group": "CO", "reason": "45", "amount": "45.00", "account": "contractual"},
                {"group": "PR", "reason": "3", "amount": "25.00", "account": "receivable patient"},
            ],
            "remarks": [],
        },
        {
            "transaction": "A1-1",
            "code": "83036",
            "modifiers": [],
            "service_date": "2026-11-10",
            "charge": "65.00",
            "paid": "25.00",
            "patient": "0.00",
            "adjustments": [{"group": "CO", "reason": "50", "amount": "40.00", "account": ""}],
            "remarks": [],
        },
    ]


def test_a_reversal_tells_the_same_amounts_with_the_other_sign(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = Paid(claim["control_number"], "150", "100", (Line("99213", "150", "100", (("CO", "45", "50"),)),))
    desk.send(Remit((paid,)))
    desk.send(Remit((paid.reversed(),), trace="EFT2", plb=(("FB", "-100"),)))
    first, second = (json.loads(emit.body) for emit in payments(desk))
    assert (first["reversal"], second["reversal"]) == (False, True)
    assert first["result"] != second["result"]
    for name in ("charge", "paid"):
        assert second["lines"][0][name] == f"-{first['lines'][0][name]}"
    assert second["lines"][0]["adjustments"] == [
        {"group": "CO", "reason": "45", "amount": "-50.00", "account": "contractual"}
    ]


def test_what_is_not_posted_is_not_told(desk: Desk) -> None:
    desk.send(Remit((Paid("STRANGER", "70", "70", member=""),)))
    assert payments(desk) == []


def test_a_reversal_names_the_payment_that_it_takes_back(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = Paid(claim["control_number"], "150", "100", (Line("99213", "150", "100", (("CO", "45", "50"),)),))
    desk.send(Remit((paid,)))
    desk.send(Remit((paid.reversed(),), plb=(("FB", "-100"),), trace="EFT2"))
    first, second = (json.loads(emit.body) for emit in payments(desk))
    assert second["reversal"]
    assert second["reverses"] == first["result"]
    assert second["original"] == {name: value for name, value in first.items() if name not in {"event", "reverses"}}


def test_an_undone_match_and_a_later_reversal_name_the_posting_that_the_ehr_was_told_last(desk: Desk) -> None:
    wrong, right = desk.claim("A1"), desk.claim("A2")
    paid = Paid(wrong["control_number"], "150", "100", (Line("99213", "150", "100", (("CO", "45", "50"),)),), member="")
    desk.send(Remit((paid,)))
    row = desk.world.one(tables.remittance_claim)
    for target in (wrong, right):
        version = desk.world.one(tables.remittance_claim)["version"]
        asked = {"remittance_claim_id": row["id"], "version": version, "reason": "not theirs"}
        assert desk.world.command("unmatch_payment", **asked)["ok"]
        assert desk.world.command("match_payment", remittance_claim_id=row["id"], claim_id=target["id"])["ok"]
    desk.send(Remit((replace(paid.reversed(), number=right["control_number"]),), trace="EFT2", plb=(("FB", "-100"),)))
    told = [json.loads(emit.body) for emit in (*desk.emitted, *desk.world.emitted) if emit.kind == "payment"]
    told.sort(key=lambda each: each["trace"])
    posted = [each for each in told if not each["reversal"]]
    assert [each["reverses"] for each in told if each["reversal"]] == [each["result"] for each in posted]
    assert [each["control_number"] for each in posted] == [each["control_number"] for each in (wrong, wrong, right)]
    assert len({each["result"] for each in told}) == 6
