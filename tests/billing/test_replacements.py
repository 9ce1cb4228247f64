"""What changes after a claim was sent becomes one replacement for a person to release; money moves with the release."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from hub.billing import reconcile
from hub.formats.x12.claim import Claim
from hub.formats.x12.professional import read_837p
from hub.store import tables
from hub.store.database import reading
from tests.billing.test_acknowledgements import ack_277ca


@pytest.fixture
def sent(world):
    """A claim of two charges over 250.00 that the payer took up under its number ICN1."""
    world.decide_values(
        [
            world.visit(),
            world.charge("T1"),
            world.charge("T2", code="83036", amount=Decimal("100.00"), diagnoses=("I10",)),
        ]
    )
    world.bill_and_batch()
    return world


def charge(world, transaction, **fields):
    """A charge of the day of the visit that was billed."""
    return world.charge(transaction, service_date=date(2026, 11, 10), **fields)


def taken_up(world):
    number = world.rows(tables.claim)[0]["control_number"]
    world.decide_file(ack_277ca([(number, ["STC*A2:20*20261111*WQ*250"], "ICN1")]))


def draft(world):
    """The replacement that waits, as its row and as what it says."""
    rows = [row for row in world.rows(tables.claim, state="held") if row["frequency"] != "1"]
    assert len(rows) == 1
    body = world.open(tables.claim, rows[0])
    return rows[0], Claim.from_dict(body.get("claim", body))


def asked(row, **more):
    return {"claim_id": row["id"], "version": row["version"], **more}


def released(world):
    row, _ = draft(world)
    answer = world.command("approve_claim", **asked(row))
    assert answer["ok"], answer
    return world.one(tables.claim, id=row["id"])


def test_a_late_charge_waits_on_a_replacement_with_all_lines(sent):
    taken_up(sent)
    before = sent.balances()
    sent.decide_values([charge(sent, "T3", code="36415", amount=Decimal("20.00"), diagnoses=("E119", "Z0000"))])
    assert sent.bill_and_batch() == []
    row, said = draft(sent)
    assert [line.code for line in said.lines] == ["99213", "83036", "36415"]
    assert [[said.diagnoses[place - 1] for place in line.pointers] for line in said.lines] == [
        ["E119"],
        ["I10"],
        ["E119", "Z0000"],
    ]
    assert (said.frequency, said.payer_claim_control_number) == ("7", "ICN1")
    (item,) = sent.items("approval")
    assert (item["kind"], item["claim_id"], item["money_cents"]) == ("replacement claim", row["id"], 2000)
    assert sent.balances()["receivable payer"] == before["receivable payer"]
    sent.check_ledger()


def test_a_late_charge_is_released_with_its_replacement_and_a_person_is_told_so(sent):
    taken_up(sent)
    sent.decide_values([charge(sent, "T3", code="36415", amount=Decimal("20.00"))])
    sent.bill_and_batch()
    late = sent.one(tables.charge, code="36415")
    refused = sent.command("release_charge", charge_id=late["id"], version=late["version"])
    assert refused["error"]["fix"].startswith("Approve the replacement")


def test_the_release_moves_charges_and_money_and_the_replacement_goes(sent):
    taken_up(sent)
    sent.decide_values([charge(sent, "T3", code="36415", amount=Decimal("20.00"))])
    sent.bill_and_batch()
    row = released(sent)
    assert row["state"] == "ready"
    assert sent.balances(claim_id=row["id"]) == {"receivable payer": 27000, "unbilled": -27000}
    assert {charge["claim_id"] for charge in sent.rows(tables.charge)} == {row["id"]}
    (batch,) = sent.bill_and_batch()
    (claim,) = read_837p(batch.body)
    assert (claim.frequency, claim.payer_claim_control_number, claim.charge) == ("7", "ICN1", Decimal("270.00"))
    assert sent.items() == []
    sent.check_ledger()


def test_a_changed_charge_and_a_credit_come_onto_one_replacement(sent):
    taken_up(sent)
    sent.decide_values([charge(sent, "T1", code="99214", amount=Decimal("200.00"))])
    sent.decide_values([charge(sent, "C2", kind="credit", credits="T2", amount=Decimal("100.00"))])
    row, said = draft(sent)
    assert [(line.code, line.charge) for line in said.lines] == [("99214", Decimal("200.00"))]
    assert len(sent.items()) == 1
    assert [charge["state"] for charge in sent.rows(tables.charge)] == ["claimed", "claimed"]
    released(sent)
    assert [(c["state"], c["amount_cents"]) for c in sent.rows(tables.charge)] == [("claimed", 20000), ("void", 10000)]
    assert sent.balances()["receivable payer"] == 20000
    assert row["chain_id"] == sent.rows(tables.claim)[0]["chain_id"]
    sent.check_ledger()


def test_when_nothing_is_left_the_claim_is_voided(sent):
    taken_up(sent)
    sent.decide_values([charge(sent, "C1", kind="credit", credits="T1")])
    sent.decide_values([charge(sent, "C2", kind="credit", credits="T2", amount=Decimal("100.00"))])
    _, said = draft(sent)
    assert (said.frequency, said.charge) == ("8", Decimal("250.00"))
    released(sent)
    (batch,) = sent.bill_and_batch()
    (claim,) = read_837p(batch.body)
    assert (claim.frequency, claim.payer_claim_control_number) == ("8", "ICN1")
    assert not any(sent.balances().values())
    sent.check_ledger()


def test_a_replacement_waits_for_the_payers_number(sent):
    sent.decide_values([charge(sent, "T1", units=Decimal(2), amount=Decimal("300.00"))])
    row, _ = draft(sent)
    answer = sent.command("approve_claim", **asked(row))
    assert "has not given its number" in answer["error"]["what"]
    taken_up(sent)
    assert released(sent)["state"] == "ready"


def test_a_charge_that_changes_back_needs_no_replacement(sent):
    first = charge(sent, "T1")
    sent.decide_values([replace(first, units=Decimal(2), amount=Decimal("300.00"))])
    assert len(sent.items()) == 1
    sent.decide_values([first])
    assert sent.items() == []
    assert all(row["state"] != "held" for row in sent.rows(tables.claim))


def test_the_same_change_and_the_same_credit_twice_are_one(sent):
    changed = charge(sent, "T1", units=Decimal(2), amount=Decimal("300.00"))
    credit = charge(sent, "C2", kind="credit", credits="T2", amount=Decimal("100.00"))
    for _ in range(2):
        sent.decide_values([changed])
        sent.decide_values([credit])
    draft(sent)
    assert (sent.counts["duplicate charges"], sent.counts["duplicate credits"]) == (1, 1)


def test_a_discarded_replacement_changes_nothing_and_late_charges_are_billed_alone(sent):
    taken_up(sent)
    sent.decide_values([charge(sent, "T1", code="99214", amount=Decimal("200.00"))])
    sent.decide_values([charge(sent, "T3", code="36415", amount=Decimal("20.00"))])
    sent.bill_and_batch()
    row, said = draft(sent)
    assert len(said.lines) == 3
    assert not sent.command("rebill_claim", **asked(row, reason="no"))["ok"]
    assert not sent.command("discard_replacement", **asked(row))["ok"]
    assert sent.command("discard_replacement", **asked(row, reason="the payer wants it apart"))["ok"]
    (batch,) = sent.bill_and_batch()
    (claim,) = read_837p(batch.body)
    assert (claim.frequency, [line.code for line in claim.lines]) == ("1", ["36415"])
    assert sent.rows(tables.charge)[0]["amount_cents"] == 15000
    assert sent.items() == []
    sent.check_ledger()


def test_when_the_sent_claim_is_rejected_what_waited_goes_onto_the_new_one(sent):
    sent.decide_values([charge(sent, "T1", code="99214", amount=Decimal("200.00"))])
    sent.decide_values([charge(sent, "T3", code="36415", amount=Decimal("20.00"))])
    sent.bill_and_batch()
    first = sent.rows(tables.claim)[0]
    sent.decide_file(ack_277ca([(first["control_number"], ["STC*A7:164:IL*20261111*U*250"], "")]))
    row, _ = draft(sent)
    assert not sent.command("approve_claim", **asked(row))["ok"]
    first = sent.one(tables.claim, id=first["id"])
    assert sent.command("rebill_claim", **asked(first, reason="id corrected"))["ok"]
    (batch,) = sent.bill_and_batch()
    (claim,) = read_837p(batch.body)
    assert {(line.code, line.charge) for line in claim.lines} == {
        ("99214", Decimal("200.00")),
        ("83036", Decimal("100.00")),
        ("36415", Decimal("20.00")),
    }
    assert claim.frequency == "1"
    assert sent.items() == []
    sent.check_ledger()


def test_a_payer_that_takes_no_replacements_and_a_practice_that_wants_none_get_new_claims(sent):
    payers = {
        name: payer.model_copy(update={"accepts_replacement": False}) for name, payer in sent.config.payers.items()
    }
    sent.config = replace(sent.config, payers=payers)
    sent.decide_values([charge(sent, "T3", code="36415", amount=Decimal("20.00"))])
    assert len(sent.bill_and_batch()) == 1
    sent.decide_values([charge(sent, "T1", units=Decimal(2), amount=Decimal("300.00"))])
    sent.decide_values([charge(sent, "C2", kind="credit", credits="T2", amount=Decimal("100.00"))])
    assert [item["kind"] for item in sent.items()] == ["changed after billing", "credit after billing"]


def late_and_changed(world):
    """A released replacement with a changed charge and a late one."""
    taken_up(world)
    world.decide_values([charge(world, "T1", code="99214", amount=Decimal("200.00"))])
    world.decide_values([charge(world, "T3", code="36415", amount=Decimal("20.00"))])
    world.bill_and_batch()
    return released(world)


def test_a_released_replacement_that_is_billed_anew_stays_a_replacement(sent):
    row = late_and_changed(sent)
    assert sent.command("rebill_claim", **asked(row, reason="A note is missing."))["ok"]
    assert sent.bill_and_batch() == []  # the payer has the first claim: a second one would be its duplicate
    again, said = draft(sent)
    assert [(line.code, line.charge) for line in said.lines] == [
        ("99214", Decimal("200.00")),
        ("83036", Decimal("100.00")),
        ("36415", Decimal("20.00")),
    ]
    assert sent.balances()["unbilled"] == 2000
    sent.check_ledger()
    with reading(sent.store) as connection:
        assert list(reconcile.differences(connection)) == []
    assert released(sent)["id"] == again["id"]
    (batch,) = sent.bill_and_batch()
    (claim,) = read_837p(batch.body)
    assert (claim.frequency, claim.charge) == ("7", Decimal("320.00"))
    assert sent.balances()["receivable payer"] == 32000
    sent.check_ledger()


def refused(world, row, status):
    """A replacement that was sent and came back."""
    world.bill_and_batch()
    number = world.one(tables.claim, id=row["id"])["control_number"]
    world.decide_file(ack_277ca([(number, [f"STC*{status}*20261111*U*320"], "ICNX")]))


def test_a_replacement_that_names_an_old_number_is_drafted_anew_with_the_latest(sent):
    row = late_and_changed(sent)
    number = sent.rows(tables.claim)[0]["control_number"]
    sent.decide_file(ack_277ca([(number, ["STC*A2:20*20261112*WQ*250"], "ICN2")]))
    refused(sent, row, "A7:464")
    again, said = draft(sent)
    assert (said.frequency, said.payer_claim_control_number, again["state"]) == ("7", "ICN2", "held")
    assert [item["queue"] for item in sent.items()] == ["approval"]
    sent.check_ledger()


def test_a_replacement_whose_number_is_the_latest_is_for_a_person(sent):
    row = late_and_changed(sent)
    refused(sent, row, "A7:495")
    assert sent.one(tables.claim, id=row["id"])["state"] == "rejected"
    assert [item["queue"] for item in sent.items()] == ["rejections"]


def test_a_charge_that_changes_after_the_release_is_for_a_person(sent):
    row = late_and_changed(sent)
    sent.decide_values([charge(sent, "T1", code="99215", amount=Decimal("250.00"))])
    assert sent.one(tables.claim, id=row["id"])["state"] == "ready"
    assert [item["kind"] for item in sent.items()] == ["changed after billing"]


def test_a_released_void_is_not_billed_anew(sent):
    taken_up(sent)
    sent.decide_values([charge(sent, "C1", kind="credit", credits="T1")])
    sent.decide_values([charge(sent, "C2", kind="credit", credits="T2", amount=Decimal("100.00"))])
    answer = sent.command("rebill_claim", **asked(released(sent), reason="No."))
    assert "voids another one" in answer["error"]["what"]


def test_a_change_to_a_late_charge_comes_onto_the_draft(sent):
    sent.decide_values([charge(sent, "T3", code="36415", amount=Decimal("20.00"))])
    sent.bill_and_batch()
    sent.decide_values([charge(sent, "T3", code="36416", amount=Decimal("25.00"))])
    assert draft(sent)[1].lines[2].code == "36416"
    sent.decide_values([charge(sent, "C3", kind="credit", credits="T3", amount=Decimal("25.00"))])
    assert sent.items() == []
    sent.check_ledger()


@pytest.mark.parametrize("other", [{"service_date": date(2026, 11, 9)}, {"performing_npi": "1999000221"}])
def test_a_late_charge_that_moves_to_another_day_or_provider_leaves_the_draft(sent, other):
    sent.decide_values([charge(sent, "T3", code="36415", amount=Decimal("20.00"))])
    sent.bill_and_batch()
    draft(sent)
    sent.decide_values([replace(charge(sent, "T3", code="36415", amount=Decimal("20.00")), **other)])
    assert sent.items("approval") == []
    (batch,) = sent.bill_and_batch()
    (claim,) = read_837p(batch.body)
    assert (claim.frequency, claim.charge) == ("1", Decimal("20.00"))
    sent.check_ledger()


def test_claims_of_named_providers_wait_for_a_person(world):
    policy = world.config.policy.model_copy(update={"approval_providers": ("1999000114",)})
    world.config = replace(world.config, policy=policy)
    world.decide_values([world.visit(), world.charge()])
    assert world.bill_and_batch() == []
    assert [item["kind"] for item in world.items("approval")] == ["approval"]
