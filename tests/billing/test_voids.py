"""Voids that a person asks for: the payer forgets a claim that it has, and its charges are billed anew."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from hub.formats.x12.institutional import read_837i
from hub.formats.x12.judge import judge
from hub.formats.x12.professional import read_837p
from hub.store import tables

from .conftest import World
from .payer import Desk, Line, Paid, Remit
from .test_acknowledgements import ack_277ca
from .test_discharges import comes_back, goes_home, taken_up
from .test_interim import ARRIVED, DAY, bed, nights, ward
from .test_replacements import asked, charge, draft, released

WHY = "the wrong provider"


@pytest.fixture
def sent(world: World) -> World:
    """A claim of two charges over 250.00 that was sent."""
    world.decide_values([world.visit(), world.charge("T1"), world.charge("T2", code="83036", amount=Decimal("100.00"))])
    world.bill_and_batch()
    return world


def void(world: World, number: int = 0, **more):
    row = world.rows(tables.claim)[number]
    return world.command("void_claim", **asked(row, **{"reason": WHY, **more}))


def claims_sent(world: World) -> list:
    emitted = world.bill_and_batch()
    assert all(judge(emit.body).ok for emit in emitted)
    reads = {"837P": read_837p, "837I": read_837i}
    found = [claim for emit in emitted if emit.kind in reads for claim in reads[emit.kind](emit.body)]
    return sorted(found, key=lambda claim: claim.frequency != "8")


def test_a_void_waits_for_approval_and_then_names_the_payers_number_and_the_charges_go_anew(sent: World) -> None:
    before = sent.balances()
    taken_up(sent)
    answer = void(sent, actor="ada")
    assert answer["ok"], answer
    row, said = draft(sent)
    assert (said.frequency, said.control_number, len(said.lines)) == ("8", answer["void"], 2)
    (item,) = sent.items()
    assert (item["queue"], item["kind"], item["claim_id"]) == ("approval", "void claim", row["id"])
    assert "Somebody asked for a claim to be voided" in item["sentence"]
    (event,) = [each for each in sent.rows(tables.claim_event, kind="note") if each["actor"] == "ada"]
    assert WHY in event["detail"]
    assert sent.balances() == before
    first = sent.rows(tables.claim)[0]
    released(sent)
    assert sent.balances(claim_id=first["id"]).get("receivable payer", 0) == 0
    gone, anew = claims_sent(sent)
    assert (gone.frequency, gone.payer_claim_control_number) == ("8", first["payer_claim_number"])
    assert (anew.frequency, anew.payer_claim_control_number, anew.charge) == ("1", "", Decimal(250))
    assert sent.balances()["receivable payer"] == before["receivable payer"]
    assert sent.items() == []
    sent.check_ledger()


def test_a_void_that_is_discarded_leaves_the_claim_as_it_is(sent: World) -> None:
    taken_up(sent)
    void(sent)
    row, _ = draft(sent)
    assert sent.command("discard_replacement", **asked(row, reason="they have it right"))["ok"]
    sent.decide_values([charge(sent, "T3", code="36415", amount=Decimal("20.00"))])
    sent.bill_and_batch()
    assert draft(sent)[1].frequency == "7"
    sent.check_ledger()


def test_a_void_waits_until_the_payer_gave_its_number(sent: World) -> None:
    assert void(sent)["ok"]
    row, _ = draft(sent)
    answer = sent.command("approve_claim", **asked(row))
    assert answer["error"]["fix"] == "Wait for the 277CA or the remittance."


def test_what_changes_while_a_void_waits_is_on_the_new_claim(sent: World) -> None:
    taken_up(sent)
    void(sent)
    sent.decide_values(
        [charge(sent, "T3", code="36415", amount=Decimal("20.00")), charge(sent, "T1", amount=Decimal(160))]
    )
    sent.bill_and_batch()
    assert [draft(sent)[1].frequency, draft(sent)[1].charge] == ["8", Decimal(250)]
    released(sent)
    gone, anew = claims_sent(sent)
    assert (gone.charge, anew.charge) == (Decimal(250), Decimal(280))
    sent.check_ledger()


def test_a_replacement_of_the_new_claim_names_the_number_of_that_one_only(sent: World) -> None:
    taken_up(sent)
    void(sent)
    released(sent)
    claims_sent(sent)
    sent.decide_values([charge(sent, "T3", code="36415", amount=Decimal("20.00"))])
    sent.bill_and_batch()
    row, said = draft(sent)
    assert (said.frequency, said.payer_claim_control_number) == ("7", "")
    number = sent.rows(tables.claim)[2]["control_number"]
    sent.decide_file(ack_277ca([(number, ["STC*A2:20*20261111*WQ*250"], "ICN9")]))
    assert sent.command("approve_claim", **asked(row))["ok"]
    (made,) = claims_sent(sent)
    assert made.payer_claim_control_number == "ICN9"


def test_what_the_patient_paid_stands_on_the_new_claim_too(world: World) -> None:
    world.decide_values([world.visit(patient_paid=Decimal("20.00")), world.charge("T1")])
    world.bill_and_batch()
    taken_up(world)
    void(world)
    released(world)
    _, anew = claims_sent(world)
    assert anew.patient_paid == Decimal(20)


def test_a_paid_claim_is_voided_and_its_payment_taken_back_when_the_payer_says_so(sent: World) -> None:
    desk, row = Desk(sent), sent.rows(tables.claim)[0]
    lines = tuple(
        Line(each["code"], f"{each['charge_cents'] // 100}.00", f"{each['charge_cents'] // 100}.00",
             control=each["control_number"], day="20261110")
        for each in desk.lines(row)
    )  # fmt: skip
    paid = Paid(row["control_number"], "250.00", "250.00", lines)
    desk.send(Remit((paid,)))
    assert void(sent)["ok"]
    released(sent)
    gone, anew = claims_sent(sent)
    assert (gone.payer_claim_control_number, anew.charge) == ("ICN1", Decimal(250))
    desk.send(Remit((paid.reversed(),), trace="EFT2"))
    assert sent.balances(claim_id=row["id"]).get("receivable payer", 0) == 0
    assert sent.balances()["receivable payer"] == 25000
    sent.check_ledger()


def test_a_last_bill_is_voided_when_the_discharge_was_cancelled_and_the_stay_billed_at_its_true_end(
    world: World,
) -> None:
    arriving = ward(world, interim=None)
    nights(world, 0, 4)
    goes_home(world, arriving, 5)
    taken_up(world)
    comes_back(world, arriving)
    assert void(world)["ok"]
    (item,) = world.items()
    assert item["kind"] == "void claim"
    bed(world, ARRIVED + 5 * DAY)
    world.bill_and_batch()
    released(world)
    assert [claim.frequency for claim in claims_sent(world)] == ["8"]
    (anew,) = goes_home(world, arriving, 6)
    assert (anew.frequency, anew.charge, anew.institutional.statement_to) == ("1", 6 * Decimal(950), ARRIVED + 6 * DAY)
    assert world.items() == []
    world.check_ledger()


def test_what_was_charged_for_a_visit_that_was_cancelled_waits_for_a_person_after_the_void(sent: World) -> None:
    taken_up(sent)
    sent.decide_values([sent.visit(cancelled=True)])
    void(sent)
    released(sent)
    assert [claim.frequency for claim in claims_sent(sent)] == ["8"]
    assert {row["state"] for row in sent.rows(tables.charge)} == {"held"}
    assert {item["queue"] for item in sent.items()} == {"charge review"}
    sent.check_ledger()


def test_what_cannot_be_voided_is_refused_with_the_way_that_is_left(world: World) -> None:
    world.decide_values([world.visit(), world.charge("T1")])
    world.start()
    world.advance(days=1.1)
    world.run_due("bill")
    assert "not sent" in void(world)["error"]["fix"]
    world.bill_and_batch()
    assert not void(world, reason="")["ok"]
    assert not void(world, version=99)["ok"]
    assert void(world)["ok"]
    assert "waits" in void(world)["error"]["what"]
    taken_up(world)
    released(world)
    assert "Nothing is billed" in void(world)["error"]["what"]
    assert "a void itself" in void(world, 1)["error"]["what"]


def test_a_payer_that_takes_no_replacements_is_asked_how_it_takes_a_claim_back(sent: World) -> None:
    payers = sent.config.payers.items()
    sent.config = replace(
        sent.config, payers={name: each.model_copy(update={"accepts_replacement": False}) for name, each in payers}
    )
    assert "neither replacements nor voids" in void(sent)["error"]["what"]
