from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from hub.formats.x12.claim import Claim
from hub.formats.x12.judge import judge
from hub.formats.x12.professional import read_837p
from hub.store import tables
from tests.billing.payer import Desk, Line, Paid, Remit, check

ROW = dict[str, Any]
LEFT = (("CO", "45", "20"), ("PR", "2", "30"))


def insured_twice(desk: Desk, amounts: tuple[str, ...] = ("150.00",), **second: Any) -> ROW:
    world = desk.world
    return desk.claim("A1", amounts, coverages=(world.coverage(), world.coverage("90003", "X1", priority=2, **second)))


def first_pays(claim: ROW, paid: str = "100", cas: Any = LEFT, **fields: Any) -> Paid:
    given: dict[str, Any] = {"lines": (Line("99213", "150", paid, cas),)}
    return Paid(claim["control_number"], "150", paid, **{**given, **fields})


def pay_first(desk: Desk, claim: ROW, *args: Any, **fields: Any) -> ROW | None:
    """Have the first payer pay; the claim to the second payer that comes of it."""
    desk.world.advance(days=10)
    desk.send(Remit((first_pays(claim, *args, **fields),)))
    desk.world.run_due("next payer")
    return second_of(desk, claim)


def second_of(desk: Desk, claim: ROW) -> ROW | None:
    rows = [row for row in desk.world.rows(tables.claim, previous_id=claim["id"]) if row["state"] != "void"]
    return rows[0] if rows else None


def second_pays(claim: ROW, paid: str, *cas: tuple[str, str, str], **fields: Any) -> Remit:
    line = Line("99213", "150", paid, cas)
    said = Paid(claim["control_number"], "150", paid, lines=(line,), **{"status": "2", "icn": "N1", **fields})
    return Remit((said,), payer="90003", name="NORTHWIND", trace=f"N-{paid}")


def sent(desk: Desk) -> list[Claim]:
    """The claims of the next batch, which the guide's own check must take."""
    emits = desk.world.bill_and_batch()
    assert all(judge(emit.body).ok for emit in emits), [judge(emit.body).findings for emit in emits]
    return [claim for emit in emits for claim in read_837p(emit.body)]


def test_what_is_left_is_billed_to_the_second_payer_whose_payment_closes_the_balance(desk: Desk) -> None:
    claim = insured_twice(desk)
    second = pay_first(desk, claim)
    assert second is not None
    assert (second["state"], second["sequence"], second["payer_id"]) == ("ready", "S", "90003")
    assert desk.world.balances(claim_id=second["id"]) == {"receivable payer": 3000}
    assert desk.world.balances().get("receivable patient", 0) == 0
    (said,) = sent(desk)
    (other,) = said.other_payers
    assert (said.subscriber.sequence, said.subscriber.member_id, said.payer.id) == ("S", "X1", "90003")
    assert (other.subscriber.sequence, other.subscriber.member_id, other.payer.id) == ("P", "W123456789", "90001")
    assert (other.paid, other.claim_control_number, other.remaining) == (Decimal(100), "ICN1", None)
    (decided,) = said.lines[0].adjudications
    assert (decided.paid, decided.remaining, str(decided.decided)) == (Decimal(100), Decimal(30), "2026-11-20")
    assert decided.paid + sum(each.amount for each in decided.adjustments) == said.lines[0].charge
    check(desk)
    desk.send(second_pays(second, "25", ("OA", "23", "120"), ("PR", "3", "5")))
    assert (desk.state(claim), desk.state(second)) == ("paid", "paid")
    assert desk.world.balances() == {"cash": 12500, "contractual": 2000, "receivable patient": 500, "revenue": -15000}
    assert desk.world.items() == []
    check(desk)


def test_the_first_payers_authorisation_and_referral_stand_beside_its_decision_alone(desk: Desk) -> None:
    covered = (desk.world.coverage(), desk.world.coverage("90003", "X1", priority=2))
    claim = desk.claim("A1", coverages=covered, prior_authorisation="PA1", referral_number="RF2")
    pay_first(desk, claim)
    (said,) = sent(desk)
    (other,) = said.other_payers
    assert (other.prior_authorisation, other.referral_number) == ("PA1", "RF2")
    assert (said.prior_authorisation, said.referral_number) == ("", "")


def test_a_second_payer_that_writes_everything_down_takes_off_only_what_it_was_left(desk: Desk) -> None:
    claim = insured_twice(desk)
    second = pay_first(desk, claim)
    assert second is not None
    sent(desk)
    desk.send(second_pays(second, "10", ("OA", "23", "50"), ("CO", "45", "90")))
    assert desk.world.balances() == {"cash": 11000, "contractual": 4000, "revenue": -15000}
    assert desk.world.items() == []
    check(desk)


@pytest.mark.parametrize(
    ("cas", "queue", "money"),
    [((("OA", "23", "100"), ("CO", "50", "50")), "denials", 3000), ((("OA", "23", "150"),), "secondary", 3000)],
)
def test_what_the_second_payer_leaves_open_is_for_a_person(desk: Desk, cas: Any, queue: str, money: int) -> None:
    claim = insured_twice(desk)
    second = pay_first(desk, claim)
    assert second is not None
    sent(desk)
    desk.send(replace(second_pays(second, "0", *cas), method="NON", handling="H"))
    assert [(item["queue"], item["money_cents"], item["claim_id"]) for item in desk.world.items()] == [
        (queue, money, second["id"])
    ]
    assert desk.state(second) == "denied"
    check(desk)


@pytest.mark.parametrize("sign", ["19", "MA18"])
def test_a_claim_that_the_first_payer_passed_on_waits_and_is_paid_under_the_first_number(desk: Desk, sign: str) -> None:
    claim = insured_twice(desk)
    moa = {"status": "19"} if sign == "19" else {"remark": "MA18"}
    second = pay_first(desk, claim, **moa)
    assert second is not None
    assert second["state"] == "forwarded"
    assert sent(desk) == []
    desk.send(second_pays(claim, "30", ("OA", "23", "120"), member="X1"))
    assert (desk.state(claim), desk.state(second)) == ("paid", "paid")
    assert desk.world.balances(claim_id=second["id"]) == {"clearing": 3000}
    desk.world.advance(days=40)
    desk.world.run_due("crossover")
    assert desk.world.items() == []
    check(desk)


def test_after_thirty_days_a_person_may_send_what_was_not_passed_on_after_all(desk: Desk) -> None:
    claim = insured_twice(desk)
    second = pay_first(desk, claim, status="19")
    assert second is not None
    desk.world.advance(days=31)
    desk.world.run_due("crossover")
    (item,) = desk.world.items("secondary")
    assert (item["kind"], item["money_cents"]) == ("crossover overdue", 3000)
    version = desk.world.one(tables.claim, id=second["id"])["version"]
    assert desk.world.command("bill_next_payer", claim_id=second["id"], version=version)["state"] == "ready"
    assert desk.world.items() == []
    assert [each.control_number for each in sent(desk)] == [second["control_number"]]
    check(desk)


def test_the_policy_may_leave_the_release_to_a_person(desk: Desk) -> None:
    desk.world.config = replace(
        desk.world.config, policy=desk.world.config.policy.model_copy(update={"next_payer": "person"})
    )
    claim = insured_twice(desk)
    second = pay_first(desk, claim)
    assert second is not None
    assert second["state"] == "held"
    assert [item["queue"] for item in desk.world.items()] == ["approval"]
    version = desk.world.one(tables.claim, id=second["id"])["version"]
    assert desk.world.command("approve_claim", claim_id=second["id"], version=version)["ok"]
    assert len(sent(desk)) == 1


def test_split_bundled_and_claim_level_decisions_are_reported_as_they_were_made(desk: Desk) -> None:
    claim = insured_twice(desk, ("150.00", "65.00"))
    first, other = (line["control_number"] for line in desk.lines(claim))
    lines = (
        Line("99213", "100", "60", (("CO", "45", "40"),), control=first),
        Line("99213", "50", "30", (("PR", "2", "20"),), control=first),
        Line("99213", "65", "0", (("CO", "97", "65"),), control=other, original="83036"),
    )
    said = Paid(claim["control_number"], "215", "85", lines=lines, cas=(("PR", "1", "5"),))
    desk.send(Remit((said,)))
    desk.world.run_due("next payer")
    (sent_on,) = sent(desk)
    assert [len(line.adjudications) for line in sent_on.lines] == [2, 1]
    assert sent_on.lines[1].adjudications[0].bundled_into == 1
    assert [(each.group, each.reason, each.amount) for each in sent_on.other_payers[0].adjustments] == [
        ("PR", "1", Decimal(5))
    ]
    check(desk)


def test_a_payment_without_lines_is_reported_for_the_claim_alone(desk: Desk) -> None:
    claim = insured_twice(desk)
    desk.world.advance(days=10)
    desk.send(Remit((Paid(claim["control_number"], "150", "100", cas=LEFT),)))
    desk.world.run_due("next payer")
    (said,) = sent(desk)
    assert said.lines[0].adjudications == ()
    (other,) = said.other_payers
    assert (str(other.decided), other.remaining, other.paid) == ("2026-11-20", Decimal(30), Decimal(100))


@pytest.mark.parametrize("was_sent", [False, True])
def test_a_first_payer_that_decides_anew_changes_what_the_second_is_asked_for(desk: Desk, was_sent: bool) -> None:
    claim = insured_twice(desk)
    wrong = first_pays(claim)
    second = pay_first(desk, claim)
    assert second is not None
    if was_sent:
        sent(desk)
    right = first_pays(claim, "110", (("CO", "45", "20"), ("PR", "2", "20")), icn="ICN2")
    desk.send(Remit((wrong.reversed(),), trace="EFT2", plb=(("FB", "-100"),)))
    assert desk.state(second) == ("sent" if was_sent else "void")
    desk.send(Remit((right,), trace="EFT3", plb=(("FB", "100"),)))
    desk.world.run_due("next payer")
    now = second_of(desk, claim)
    assert now is not None
    assert desk.world.balances(claim_id=now["id"]) == {"receivable payer": 2000}
    assert (now["id"] == second["id"]) == was_sent
    kinds = {item["kind"] for item in desk.world.items()}
    assert kinds == ({"first payer changed its decision"} if was_sent else set())
    check(desk)


def test_each_payer_takes_back_its_own_payment_when_both_paid_the_same(desk: Desk) -> None:
    claim = insured_twice(desk)
    second = pay_first(desk, claim, "60", (("CO", "45", "30"), ("PR", "2", "60")), icn="A")
    assert second is not None
    sent(desk)
    desk.send(second_pays(second, "60", ("OA", "23", "90")))
    back = first_pays(claim, "60", (("CO", "45", "30"), ("PR", "2", "60")), icn="").reversed()
    desk.send(Remit((back,), trace="EFT2", plb=(("FB", "-60"),)))
    assert (desk.state(claim), desk.state(second)) == ("reversed", "paid")
    check(desk)


def test_a_third_payer_follows_the_second(desk: Desk) -> None:
    world = desk.world
    covers = (world.coverage(), world.coverage("90003", "X1", priority=2), world.coverage("90005", "G1", priority=3))
    claim = desk.claim("A1", coverages=covers)
    second = pay_first(desk, claim)
    assert second is not None
    sent(desk)
    desk.send(second_pays(second, "10", ("OA", "23", "120"), ("PR", "2", "20")))
    world.run_due("next payer")
    third = second_of(desk, second)
    assert third is not None
    assert (third["sequence"], third["partner"]) == ("T", "granite")
    (said,) = sent(desk)
    assert [other.subscriber.sequence for other in said.other_payers] == ["P", "S"]
    assert [each.payer_id for each in said.lines[0].adjudications] == ["90001", "90003"]
    check(desk)


def test_what_may_not_be_asked_of_the_patient_goes_to_the_next_payer_and_never_to_the_patient(desk: Desk) -> None:
    payers = dict(desk.world.config.payers)
    payers["90003"] = payers["90003"].model_copy(update={"patient_share": "never"})
    desk.world.config = replace(desk.world.config, payers=payers)
    claim = insured_twice(desk)
    second = pay_first(desk, claim, remark="N781")
    assert second is not None
    assert desk.world.items() == []
    assert desk.world.balances(claim_id=second["id"]) == {"receivable payer": 3000}
    sent(desk)
    desk.send(second_pays(second, "12", ("OA", "23", "120"), ("PR", "2", "18")))
    assert desk.world.balances().get("receivable patient", 0) == 0
    (item,) = desk.world.items("denials")
    assert item["money_cents"] == 1800
    check(desk)


def test_a_registration_that_changes_before_it_is_sent_makes_the_claim_anew(desk: Desk) -> None:
    claim = insured_twice(desk)
    second = pay_first(desk, claim)
    assert second is not None
    world = desk.world
    world.advance(hours=1)
    covers = (world.coverage(), world.coverage("90003", "X2", priority=2))
    world.decide_values([world.visit(account="A1", coverages=covers)])
    world.run_due("next payer")
    (said,) = sent(desk)
    assert said.subscriber.member_id == "X2"
    assert desk.state(second) == "void"
    check(desk)


def test_medicare_as_second_payer_needs_the_reason_which_a_person_confirms(desk: Desk) -> None:
    payers = dict(desk.world.config.payers)
    payers["90003"] = payers["90003"].model_copy(update={"claim_filing": "MB"})
    desk.world.config = replace(desk.world.config, payers=payers)
    claim = insured_twice(desk)
    second = pay_first(desk, claim)
    assert second is not None
    assert second["state"] == "needs fix"
    version = desk.world.one(tables.claim, id=second["id"])["version"]
    answer = desk.world.command("accept_proposal", claim_id=second["id"], version=version, rule="ID-26")
    assert answer["state"] == "ready"
    (said,) = sent(desk)
    assert said.subscriber.insurance_type == "43"  # a person of 46 with an employer's plan


def test_no_claim_is_made_of_figures_that_do_not_account_for_every_line(desk: Desk) -> None:
    claim = insured_twice(desk, ("150.00", "65.00"))
    line = Line("99213", "215", "150", (("CO", "45", "35"), ("PR", "2", "30")))
    desk.send(Remit((Paid(claim["control_number"], "215", "150", lines=(line,)),)))
    desk.world.run_due("next payer")
    assert second_of(desk, claim) is None
    (item,) = desk.world.items("secondary")
    assert "does not come to its charge" in item["sentence"]
    assert desk.world.balances()["receivable patient"] == 3000
    check(desk)


def test_a_person_bills_an_insurance_that_was_heard_of_only_later(desk: Desk) -> None:
    world = desk.world
    claim = desk.claim("A1")
    assert pay_first(desk, claim) is None
    assert world.balances()["receivable patient"] == 3000
    world.advance(hours=1)
    world.decide_values(
        [world.visit(account="A1", coverages=(world.coverage(), world.coverage("90003", "X1", priority=2)))]
    )
    version = world.one(tables.claim, id=claim["id"])["version"]
    answer = world.command("bill_next_payer", claim_id=claim["id"], version=version)
    assert answer["ok"], answer
    second = second_of(desk, claim)
    assert second is not None
    assert answer["claim"] == second["control_number"]
    assert len(sent(desk)) == 1
    check(desk)


def test_what_a_second_payer_owes_can_be_written_off_there(desk: Desk) -> None:
    claim = insured_twice(desk)
    second = pay_first(desk, claim)
    assert second is not None
    version = desk.world.one(tables.claim, id=second["id"])["version"]
    answer = desk.world.command(
        "write_off", claim_id=second["id"], version=version, account="payer", reason="Not worth it"
    )
    assert answer == {"ok": True, "amount": "30.00"}
    assert desk.world.balances(claim_id=second["id"]) == {"write-off": 3000}
    check(desk)


def test_the_second_payers_time_limit_runs_from_the_first_ones_decision(desk: Desk) -> None:
    payers = dict(desk.world.config.payers)
    short = {"timely_filing_days": 5, "timely_filing_warning": 0}
    payers["90003"] = payers["90003"].model_copy(update=short)
    desk.world.config = replace(desk.world.config, payers=payers)
    second = pay_first(desk, insured_twice(desk))
    assert second is not None
    assert second["state"] == "ready"


def test_a_reversal_that_comes_after_its_correction_leaves_the_right_claim_to_the_second_payer(desk: Desk) -> None:
    claim = insured_twice(desk)
    wrong = first_pays(claim)
    right = first_pays(claim, "110", (("CO", "45", "20"), ("PR", "2", "20")), icn="ICN2")
    pay_first(desk, claim)
    desk.send(Remit((right,), trace="EFT2"))
    desk.world.run_due("next payer")
    desk.send(Remit((wrong.reversed(),), trace="EFT3", plb=(("FB", "-100"),)))
    desk.world.run_due("next payer")
    second = second_of(desk, claim)
    assert second is not None
    assert desk.world.balances(claim_id=second["id"]) == {"receivable payer": 2000}
    (said,) = sent(desk)
    assert said.other_payers[0].paid == Decimal(110)
    check(desk)


@pytest.mark.parametrize(("allowed", "is_billed"), [("100.00", False), ("110.00", True), (None, True)])
def test_a_payer_that_pays_no_more_than_it_allows_is_billed_only_while_less_is_paid(
    desk: Desk, allowed: str | None, is_billed: bool
) -> None:
    world = desk.world
    northwind = world.config.payers["90003"].model_copy(update={"pays_up_to": "what it allows"})
    rates = {("90003", "99213"): Decimal(allowed)} if allowed else {}
    world.config = replace(world.config, payers={**world.config.payers, "90003": northwind}, contracts=rates)
    claim = insured_twice(desk)
    second = pay_first(desk, claim)
    assert (second is not None) is is_billed
    if not is_billed:
        assert world.balances()["receivable patient"] == 3000
        said = [row["detail"] for row in world.rows(tables.claim_event, claim_id=claim["id"], kind="note")]
        assert "pays no more than it allows" in said[-1]
    check(desk)
