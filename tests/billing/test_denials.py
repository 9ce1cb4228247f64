"""Denials from the payer's code to their end: triage, corrections, appeals, people's ends, what stops by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from hub.billing import reconcile
from hub.billing.config import DenialPolicy
from hub.billing.denials import letters, queries
from hub.billing.denials.table import DenialTableError, Rule, remark_of, rule_of, shipped, with_site
from hub.billing.values import Charge
from hub.core.codec import from_plain
from hub.store import tables
from hub.store.database import reading
from tests.billing.payer import Cas, Desk, Line, Paid, Remit
from tests.billing.test_acknowledgements import ack_277ca


def denied(desk: Desk, account: str, *cas: Cas, remarks: tuple[str, ...] = (), icn: str = "ICN1") -> dict[str, Any]:
    """A claim of one line that the payer refuses for *cas*; its row as it then is."""
    claim = desk.claim(account)
    line = Line("99213", "150", "0", cas or (("CO", "50", "150"),), remarks=remarks)
    desk.send(Remit((Paid(claim["control_number"], "150", "0", (line,), icn=icn),), trace=f"EFT-{account}"))
    desk.world.run_due("correct denial")
    return dict(desk.world.one(tables.claim, id=claim["id"]))


def the_denial(desk: Desk, claim: dict[str, Any]) -> dict[str, Any]:
    return dict(desk.world.one(tables.denial, claim_id=claim["id"]))


def even(desk: Desk) -> None:
    desk.world.check_ledger()
    with reading(desk.world.store) as connection:
        assert reconcile.figures(connection).ok


def ordered(desk: Desk, name: str, row: dict[str, Any], **args: Any) -> dict[str, Any]:
    """Run a command about *row*, which must succeed."""
    subject = "claim_id" if "control_number" in row else "denial_action_id" if "kind" in row else "denial_id"
    answer = desk.world.command(name, **{subject: row["id"], "version": row["version"], **args})
    assert answer["ok"], answer
    return dict(answer)


# ---------------------------------------------------------------- the table


def test_the_more_special_row_decides_and_a_code_without_a_row_is_nobodys() -> None:
    table = with_site([Rule("90001", "", "50", "", "documents", "records")], [])
    assert table.look_up("90001", "CO", "50", ()).action == "records"
    assert table.look_up("90003", "CO", "50", ()).action == "appeal"
    assert table.look_up("90003", "PR", "50", ()).action == "patient"
    vein = with_site([Rule("", "CO", "97", "", "bundling", "accept", procedure="36415")], [])
    assert vein.look_up("90001", "CO", "97", ("M15",), "36415").rule == "CO-97@36415"
    assert vein.look_up("90001", "CO", "97", ("M15",), "99213").action == "correct"
    unknown = table.look_up("90001", "CO", "777", ())
    assert (unknown.covered, unknown.category, unknown.action) == (False, "unknown", "review")


@pytest.mark.parametrize(
    ("reason", "remarks", "action", "resubmit", "appeal"),
    [
        ("16", ("MA130", "M51"), "correct", "1", "no"),  # never processed: a new claim, and nothing to appeal
        ("16", ("N152",), "correct", "7", "no"),
        ("16", ("N779",), "wait", "7", "no"),
        ("50", ("N211",), "correct", "7", "no"),
        ("50", (), "appeal", "7", "yes"),
        ("97", ("N185",), "appeal", "", "yes"),  # the payer asks not to send it again
        ("4", ("N185",), "review", "", "no"),
        ("18", ("N522",), "wait", "", "no"),  # the next payer's answer comes
        ("16", ("MA40",), "correct", "7", "no"),
        ("193", (), "appeal", "", "yes"),
        ("222", (), "accept", "", "no"),
        ("29", (), "appeal", "", "proof"),
    ],
)
def test_remarks_decide_how_a_claim_comes_back(
    reason: str, remarks: tuple[str, ...], action: str, resubmit: str, appeal: str
) -> None:
    verdict = shipped().look_up("90001", "CO", reason, remarks)
    assert (verdict.action, verdict.resubmit, verdict.appeal) == (action, resubmit, appeal)


@pytest.mark.parametrize(
    ("group", "reason", "remarks", "patient"),
    [
        ("PR", "27", (), "yes"),
        ("CO", "27", (), "policy"),  # the group says that it is the practice's
        ("CO", "29", ("M38",), "no"),
        ("CO", "55", (), "policy"),
        ("CO", "55", ("M38",), "yes"),  # a notice was signed
        ("CO", "55", ("M27",), "no"),
        ("PR", "96", ("MA13",), "yes"),  # said beside nearly every payment: the patient owes what PR says
        ("OA", "96", ("MA13",), "no"),
        ("PR", "96", ("N781",), "no"),
        ("PR", "26", ("N616",), "no"),  # a premium may still come
    ],
)
def test_group_and_remarks_decide_whether_the_patient_may_be_asked(
    group: str, reason: str, remarks: tuple[str, ...], patient: str
) -> None:
    assert shipped().look_up("90001", group, reason, remarks).patient == patient


def test_only_waiting_and_the_claims_own_number_are_left_to_the_machine() -> None:
    for rules in shipped().rules.values():
        assert all(rule.action == "wait" for rule in rules if rule.auto == "yes")


@pytest.mark.parametrize("wrong", [{"reason": ""}, {"action": "shout"}, {"category": "x"}, {"wait": "soon"}])
def test_a_row_that_says_nothing_usable_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(DenialTableError):
        rule_of({"reason": "50", "category": "coding", "action": "appeal", **wrong})
    with pytest.raises(DenialTableError):
        remark_of({"remark": "N1", "effect": "magic"})


# ---------------------------------------------------------------- triage


def test_a_denial_has_its_category_its_next_action_and_the_day_by_which_it_must_be_done(desk: Desk) -> None:
    world = desk.world
    payer = world.config.payers["90001"].model_copy(update={"appeal_days": (60, 180)})
    world.config = replace(world.config, payers={**world.config.payers, "90001": payer})
    row = the_denial(desk, denied(desk, "A1", ("CO", "50", "150"), remarks=("N115",)))
    assert (row["category"], row["action"], row["codes"], row["remarks"]) == (
        "medical necessity",
        "appeal",
        "CO-50",
        "N115",
    )
    assert row["denied_on"] == world.clock.today().isoformat()
    (item,) = world.items("denials")
    assert item["id"] == row["item_id"]
    assert item["due_on"] == row["deadline_on"] > row["denied_on"]
    assert world.open(tables.work_item, item)["for"] == "coder"
    (told,) = [each for each in desk.emitted if each.kind == "denial"]
    assert f'"caused_by":"P{row["remittance_claim_id"]}"'.encode() in told.body


def test_the_deadline_runs_from_the_payers_day_however_late_its_remittance_is_read(desk: Desk) -> None:
    sent = desk.claim("A1")
    desk.world.advance(days=30)
    refused = Line("99213", "150", "0", (("CO", "50", "150"),))
    desk.send(Remit((Paid(sent["control_number"], "150", "0", (refused,)),)))
    (row,) = desk.world.rows(tables.denial)
    assert (row["denied_on"], row["deadline_on"]) == ("2026-11-20", "2027-02-18")


def test_a_payment_taken_back_takes_its_denials_with_it_and_the_ehr_hears_so(desk: Desk) -> None:
    claim = desk.claim("A1")
    paid = Paid(claim["control_number"], "150", "0", (Line("99213", "150", "0", (("CO", "50", "150"),)),))
    desk.send(Remit((paid,)))
    desk.send(Remit((paid.reversed(),), trace="EFT2"))
    assert the_denial(desk, claim)["state"] == "withdrawn"
    assert not desk.world.items("denials")
    assert [each.name[-1] for each in desk.emitted if each.kind == "denial"] == ["N", "E"]
    even(desk)


def test_a_denial_that_only_waits_comes_back_when_the_time_is_up(desk: Desk) -> None:
    claim = denied(desk, "A1", ("OA", "133", "150"))
    assert the_denial(desk, claim)["state"] == "waiting"
    assert not desk.world.items("denials")
    desk.world.advance(days=22)
    desk.world.run_due("denial")
    assert the_denial(desk, claim)["state"] == "open"
    assert len(desk.world.items("denials")) == 1


@pytest.mark.parametrize(("acknowledged", "action", "chance"), [(True, "appeal", 60), (False, "accept", 5)])
def test_only_proof_that_a_claim_was_filed_in_time_makes_its_appeal_worth_writing(
    desk: Desk, acknowledged: bool, action: str, chance: int
) -> None:
    claim = desk.claim("A1")
    if acknowledged:
        said = ack_277ca([(claim["control_number"], ["STC*A2:20*20261111*WQ*150"], "")], role="PR")
        desk.world.decide_file(said)
    line = Line("99213", "150", "0", (("CO", "29", "150"),))
    desk.send(Remit((Paid(claim["control_number"], "150", "0", (line,)),)))
    row = the_denial(desk, claim)
    assert (row["action"], row["chance"], row["appeal"]) == (action, chance, "proof")
    assert row["deadline_on"] == "2027-02-09"  # somebody may still find the proof


def test_a_claim_that_was_not_this_payers_waits_for_the_one_to_which_it_was_passed_on(desk: Desk) -> None:
    claim = desk.claim("A1")
    line = Line("99213", "150", "0", (("CO", "109", "150"),))
    desk.send(Remit((Paid(claim["control_number"], "150", "0", (line,), status="23"),)))
    row = the_denial(desk, claim)
    assert (row["state"], row["action"], row["resubmit"]) == ("waiting", "wait", "")
    desk.world.advance(days=31)
    desk.world.run_due("denial")
    assert the_denial(desk, claim)["state"] == "open"


def test_an_item_says_which_edit_would_have_found_the_cause(desk: Desk) -> None:
    denied(desk, "A1", ("CO", "197", "150"))
    (item,) = desk.world.items("denials")
    assert desk.world.open(tables.work_item, item)["edits"] == ["CL-14"]
    with reading(desk.world.store) as connection:
        assert [each.edits for each in queries.causes(connection)] == [("CL-14",)]


# ---------------------------------------------------------------- corrected claims


def corrected(desk: Desk, claim: dict[str, Any], **args: Any) -> dict[str, Any]:
    answer = ordered(desk, "correct_denied_claim", the_denial(desk, claim), **args)
    return dict(desk.world.one(tables.claim, id=answer["claim_id"]))


def test_a_corrected_claim_replaces_under_the_payers_number_after_a_person_released_it(desk: Desk) -> None:
    world = desk.world
    old = denied(desk, "A1", ("CO", "4", "150"), icn="ICN77")
    made = corrected(desk, old)
    assert (made["state"], made["frequency"], made["replaces_id"]) == ("held", "7", old["id"])
    ordered(desk, "correct_claim", made, field="modifiers", line=1, value="25", reason="the record shows it")
    made = world.one(tables.claim, id=made["id"])
    assert made["state"] == "held"  # changing it is not releasing it
    ordered(desk, "approve_claim", made)
    world.advance(hours=1)
    world.run_due("batch")
    sent = world.emitted[-1].body.decode()
    assert "CLM*" + made["control_number"] + "*150***11:B:7*" in sent
    assert "REF*F8*ICN77~" in sent
    assert "SV1*HC:99213:25*150" in sent


def test_a_claim_that_was_never_processed_comes_back_as_a_new_one(desk: Desk) -> None:
    old = denied(desk, "A1", ("CO", "16", "150"), remarks=("MA130", "N290"))
    made = corrected(desk, old)
    assert made["frequency"] == "1"
    answer = desk.world.command(
        "write_appeal", denial_id=the_denial(desk, old)["id"], version=the_denial(desk, old)["version"]
    )
    assert answer["error"]["code"] == "H633"


def test_what_the_payer_then_pays_settles_the_denial_and_no_cent_is_counted_twice(desk: Desk) -> None:
    world = desk.world
    old = denied(desk, "A1", ("CO", "4", "150"))
    made = corrected(desk, old)
    ordered(desk, "approve_claim", made)
    world.advance(hours=1)
    world.run_due("batch")
    refused = Paid(old["control_number"], "150", "0", (Line("99213", "150", "0", (("CO", "4", "150"),)),))
    paid = Paid(made["control_number"], "150", "90", (Line("99213", "150", "90", (("CO", "45", "60"),)),), icn="ICN2")
    desk.send(Remit((refused.reversed(), paid), trace="EFT2"))
    row = the_denial(desk, old)
    assert (row["state"], row["recovered_cents"]) == ("won", 15000)
    assert world.one(tables.denial_action)["state"] == "won"
    assert desk.state(made) == "paid"
    assert not world.items("credits")
    assert world.balances().get("receivable payer", 0) == 0
    even(desk)


def test_a_lost_file_that_comes_after_the_next_one_leaves_what_the_payer_paid(desk: Desk) -> None:
    """The reversal of the replacement's payment is read first and has the amounts of the replaced claim's."""
    world = desk.world
    old = desk.claim("A1", ("150.00", "50.00"))
    some = (Line("99213", "150", "90", (("CO", "45", "60"),)), Line("83036", "50", "0", (("CO", "4", "50"),)))
    paid = Paid(old["control_number"], "200", "90", some, icn="ICN1")
    desk.send(Remit((paid,), trace="EFT1"))
    made = corrected(desk, old)
    ordered(desk, "approve_claim", made)
    world.advance(hours=1)
    world.run_due("batch")
    again = replace(paid, number=made["control_number"], icn="ICN2")
    more = replace(again, paid="120", lines=(some[0], Line("83036", "50", "30", (("CO", "45", "20"),))))
    desk.send(Remit((again.reversed(), more), trace="EFT3"))
    desk.send(Remit((paid.reversed(), again), trace="EFT2"))  # this one was lost, and comes at last
    world.run_due("early reversal")
    assert world.balances()["contractual"] == 8000
    assert world.balances().get("receivable payer", 0) == 0
    assert not world.items("unmatched payments")
    even(desk)


def test_a_correction_that_is_refused_again_is_lost_and_the_new_denial_goes_on(desk: Desk) -> None:
    old = denied(desk, "A1", ("CO", "4", "150"))
    made = corrected(desk, old)
    again = Paid(made["control_number"], "150", "0", (Line("99213", "150", "0", (("CO", "50", "150"),)),), icn="ICN2")
    desk.send(Remit((again,), trace="EFT2"))
    assert the_denial(desk, old)["state"] == "lost"
    assert the_denial(desk, made)["state"] == "open"
    told = [json.loads(each.body)["amount"] for each in desk.emitted if each.kind == "denial"]
    assert told == ["150.00", "-150.00", "150.00"]  # the EHR counts it once
    even(desk)


def test_a_lost_denial_is_given_up_on_the_claim_that_the_charge_stands_on_by_now(desk: Desk) -> None:
    old = denied(desk, "A1", ("CO", "4", "150"))
    made = corrected(desk, old)
    again = Paid(made["control_number"], "150", "0", (Line("99213", "150", "0", (("CO", "50", "150"),)),), icn="ICN2")
    desk.send(Remit((again,), trace="EFT2"))
    ordered(desk, "accept_denial", the_denial(desk, old), reason="not worth it")
    assert desk.world.balances(claim_id=made["id"])["write-off"] == 15000
    for claim in (old, made):
        assert desk.world.balances(claim_id=claim["id"]).get("receivable payer", 0) == 0
    even(desk)


@pytest.mark.parametrize(("command", "codes"), [("accept_denial", ("CO", "97")), ("bill_patient", ("PR", "204"))])
def test_a_payment_taken_back_ends_what_was_settled_of_it_too(desk: Desk, command: str, codes: tuple[str, str]) -> None:
    claim = denied(desk, "A1", (*codes, "150"))
    before = the_denial(desk, claim)
    ordered(desk, command, before, reason="so be it")
    line = Line("99213", "150", "0", ((*codes, "150"),))
    desk.send(Remit((Paid(claim["control_number"], "150", "0", (line,)).reversed(),), trace="BACK"))
    assert the_denial(desk, claim)["state"] == "withdrawn"
    (ended,) = [
        json.loads(each.body) for each in desk.emitted if each.kind == "denial" and b'"ended":true' in each.body
    ]
    assert ended["ends"] == f"D{before['id']}N"
    assert desk.world.balances(claim_id=claim["id"])["receivable payer"] == 15000
    even(desk)


def test_a_payment_taken_back_does_not_end_a_denial_that_a_newer_one_has_ended(desk: Desk) -> None:
    old = denied(desk, "A1", ("CO", "4", "150"))
    made = corrected(desk, old)
    again = Paid(made["control_number"], "150", "0", (Line("99213", "150", "0", (("CO", "50", "150"),)),), icn="ICN2")
    desk.send(Remit((again,), trace="EFT2"))
    first = Paid(old["control_number"], "150", "0", (Line("99213", "150", "0", (("CO", "4", "150"),)),))
    desk.send(Remit((first.reversed(),), trace="BACK"))
    ended = [each.name for each in desk.emitted if each.kind == "denial" and b'"ended":true' in each.body]
    assert len(ended) == len(set(ended)) == 1


def test_nothing_is_corrected_beside_a_replacement_that_waits(desk: Desk) -> None:
    old = denied(desk, "A1", ("CO", "4", "150"))
    (charge,) = desk.world.rows(tables.charge)
    said = from_plain(Charge, desk.world.open(tables.charge, charge)["charge"])
    desk.world.decide_values([replace(said, code="99214", amount=Decimal("200.00"))])
    row = the_denial(desk, old)
    answer = desk.world.command("correct_denied_claim", denial_id=row["id"], version=row["version"])
    assert "waits for approval" in answer["error"]["what"]
    (draft,) = desk.world.rows(tables.claim, state="held")
    ordered(desk, "approve_claim", draft)
    even(desk)


def test_a_correction_taken_back_gives_its_charges_to_the_claim_that_it_corrects(desk: Desk) -> None:
    old = denied(desk, "A1", ("CO", "4", "150"))
    made = corrected(desk, old)
    ordered(desk, "rebill_claim", made, reason="not needed")
    assert desk.state(made) == "void"
    assert desk.world.one(tables.charge)["claim_id"] == old["id"]
    assert the_denial(desk, old)["state"] == "open"
    assert len(desk.world.items("denials")) == 1
    even(desk)


def test_two_corrections_of_one_claim_are_not_under_way_at_once(desk: Desk) -> None:
    old = denied(desk, "A1", ("CO", "4", "150"))
    corrected(desk, old)
    row = the_denial(desk, old)
    answer = desk.world.command("correct_denied_claim", denial_id=row["id"], version=row["version"])
    assert answer["error"]["code"] == "H612"


# ---------------------------------------------------------------- what the machine does by itself


def number_lost(desk: Desk, account: str) -> dict[str, Any]:
    return denied(desk, account, ("CO", "16", "150"), remarks=("M47",), icn=f"ICN-{account}")


def test_a_lost_claim_number_is_repaired_by_the_hub_and_released_by_a_person(desk: Desk) -> None:
    old = number_lost(desk, "A1")
    made = desk.world.one(tables.claim, replaces_id=old["id"])
    assert (made["state"], made["frequency"]) == ("held", "7")
    assert desk.world.one(tables.denial_action)["automatic"]


def test_an_amount_above_the_limit_and_a_second_try_are_left_to_a_person(desk: Desk) -> None:
    world = desk.world
    policy = world.config.policy.model_copy(update={"denials": DenialPolicy(most_amount="149.99")})
    kept = world.config
    world.config = replace(world.config, policy=policy)
    assert the_denial(desk, number_lost(desk, "A1"))["state"] == "open"
    world.config = kept
    old = number_lost(desk, "A2")
    made = world.one(tables.claim, replaces_id=old["id"])
    line = Line("99213", "150", "0", (("CO", "16", "150"),), remarks=("M47",))
    desk.send(Remit((Paid(made["control_number"], "150", "0", (line,), icn="ICN9"),), trace="EFT9"))
    world.run_due("correct denial")
    assert the_denial(desk, made)["state"] == "open"
    assert not world.rows(tables.claim, replaces_id=made["id"])


def test_a_claim_that_has_gone_on_to_the_next_payer_is_left_to_a_person(desk: Desk) -> None:
    world = desk.world
    covered = (world.coverage(), world.coverage("90003", "X1", priority=2))
    claim = desk.claim("A1", ("150.00", "50.00"), coverages=covered)
    lines = (
        Line("99213", "150", "100", (("PR", "2", "50"),)),
        Line("83036", "50", "0", (("CO", "16", "50"),), remarks=("N152",)),
    )
    desk.send(Remit((Paid(claim["control_number"], "200", "100", lines),)))
    world.run_due("next payer")
    world.run_due("correct denial")
    assert world.one(tables.claim, previous_id=claim["id"])
    assert the_denial(desk, claim)["state"] == "open"


def test_a_rule_that_loses_too_often_suspends_itself_until_somebody_lets_it_on(desk: Desk) -> None:
    world = desk.world
    policy = world.config.policy.model_copy(update={"denials": DenialPolicy(win_window=2)})
    world.config = replace(world.config, policy=policy)
    for account in ("A1", "A2"):
        old = number_lost(desk, account)
        made = world.one(tables.claim, replaces_id=old["id"])
        line = Line("99213", "150", "0", (("CO", "50", "150"),))
        desk.send(Remit((Paid(made["control_number"], "150", "0", (line,), icn=f"X{account}"),), trace=f"E-{account}"))
    assert world.one(tables.denial_rule)["state"] == "suspended"
    assert the_denial(desk, number_lost(desk, "A3"))["state"] == "open"
    rule = world.one(tables.denial_rule)["rule"]
    assert [item["kind"] for item in world.items("denials")].count("rule suspended") == 1
    assert world.command("resume_denial_rule", rule=rule, reason="the payer mended it")["ok"]
    assert the_denial(desk, number_lost(desk, "A4"))["state"] == "corrected"
    assert not [item for item in world.items("denials") if item["kind"] == "rule suspended"]


# ---------------------------------------------------------------- appeals


def test_an_appeal_goes_from_letter_to_outcome_with_its_proofs_and_deadlines(desk: Desk) -> None:
    world = desk.world
    payer = world.config.payers["90001"].model_copy(update={"appeal_days": (30, 60)})
    world.config = replace(world.config, payers={**world.config.payers, "90001": payer})
    old = denied(desk, "A1", ("CO", "29", "150"))
    ordered(desk, "write_appeal", the_denial(desk, old), argument="It was filed on the next day.")
    action = world.one(tables.denial_action)
    letter = world.open(tables.denial_action, action)["letter"]
    assert "the claim was sent" in letter
    assert "It was filed on the next day." in letter
    assert "WREN EXAMPLAR" in letter
    ordered(desk, "send_appeal", action, how="fax", reference="F1")
    assert the_denial(desk, old)["state"] == "appealed"
    assert not world.items("denials")
    ordered(desk, "decide_appeal", world.one(tables.denial_action), outcome="lost")
    assert the_denial(desk, old)["state"] == "open"  # there is a second level
    ordered(desk, "write_appeal", the_denial(desk, old))
    second = world.one(tables.denial_action, state="drafted")
    assert second["level"] == 2
    ordered(desk, "send_appeal", second, how="portal")
    paid = Paid(old["control_number"], "150", "100", (Line("99213", "150", "100", (("CO", "45", "50"),)),), icn="ICN2")
    desk.send(Remit((paid,), trace="EFT2"))
    assert the_denial(desk, old)["state"] == "won"
    assert world.one(tables.denial_action, level=2)["state"] == "won"
    even(desk)


def test_a_decision_that_the_payer_upholds_is_appealed_one_level_up_within_its_days(desk: Desk) -> None:
    world = desk.world
    payer = world.config.payers["90001"].model_copy(update={"appeal_days": (30, 60)})
    world.config = replace(world.config, payers={**world.config.payers, "90001": payer})
    old = denied(desk, "A1", ("CO", "50", "150"))
    assert the_denial(desk, old)["deadline_on"] == "2026-12-11"
    ordered(desk, "write_appeal", the_denial(desk, old))
    ordered(desk, "send_appeal", world.one(tables.denial_action), how="fax")
    upheld = Line("99213", "150", "0", (("CO", "193", "150"),))
    desk.send(Remit((Paid(old["control_number"], "150", "0", (upheld,), icn="ICN2"),), trace="EFT2"))
    row = dict(world.one(tables.denial, claim_id=old["id"], state="open"))
    assert (row["action"], row["deadline_on"]) == ("appeal", "2027-01-10")
    assert ordered(desk, "write_appeal", row)["level"] == 2
    assert world.one(tables.denial_action, level=2)["due_on"] == row["deadline_on"]


def test_a_letter_that_names_a_fact_that_there_is_not_is_found_before_it_is_sent() -> None:
    with pytest.raises(letters.LetterError):
        letters.examine("{{ patient.shoe_size }}")
    with pytest.raises(letters.LetterError):
        letters.examine("{{ ''.__class__.__mro__ }}")
    for name in letters.names({}):
        letters.write(name, {}, letters.SAMPLE)


# ---------------------------------------------------------------- people's ends


def test_what_is_denied_goes_to_the_patient_or_is_written_off_by_a_named_person(desk: Desk) -> None:
    world = desk.world
    to_patient, given_up = denied(desk, "A1", ("PR", "204", "150")), denied(desk, "A2", ("CO", "45", "10"))
    ordered(desk, "bill_patient", the_denial(desk, to_patient), reason="a notice was signed")
    assert world.balances(claim_id=to_patient["id"])["receivable patient"] == 15000
    given_up = denied(desk, "A3", ("CO", "97", "150"))
    row = the_denial(desk, given_up)
    refused = world.command("bill_patient", denial_id=row["id"], version=row["version"], reason="x")
    assert refused["error"]["code"] == "H612"
    ordered(desk, "accept_denial", row, reason="included in another service")
    assert world.balances(claim_id=given_up["id"])["write-off"] == 15000
    assert not [item for item in world.items("denials") if item["claim_id"] in {to_patient["id"], given_up["id"]}]
    even(desk)


# ---------------------------------------------------------------- lists


def test_what_is_not_worth_working_is_written_off_where_the_practice_says_up_to_how_much(desk: Desk) -> None:
    world = desk.world
    policy = world.config.policy.model_copy(update={"denials": DenialPolicy(small_balance=Decimal("5.00"))})
    world.config = replace(world.config, policy=policy)
    claim = desk.claim("A1", ("150.00", "65.00"))
    lines = (
        Line("99213", "150", "145", (("CO", "50", "5"),)),
        Line("83036", "65", "59.99", (("CO", "50", "5.01"),)),
    )
    desk.send(Remit((Paid(claim["control_number"], "215", "204.99", lines),)))
    world.run_due("correct denial")
    assert world.balances()["write-off"] == 500
    assert {row["cents"]: row["state"] for row in world.rows(tables.denial)} == {500: "accepted", 501: "open"}
    assert [item["money_cents"] for item in world.items("denials")] == [501]
    (entry,) = world.rows(tables.ledger_entry, kind="write-off")
    assert (entry["actor"], entry["rule"]) == ("hub", "50")
    even(desk)


def test_the_list_puts_money_times_chance_by_days_left_first_and_learns_from_outcomes(desk: Desk) -> None:
    world = desk.world
    near = denied(desk, "A1", ("CO", "4", "150"))
    world.advance(days=60)
    far = denied(desk, "A2", ("CO", "4", "150"))
    denied(desk, "A3", ("CO", "999", "150"))
    with reading(world.store) as connection:
        rows = queries.denials(connection, world.clock.today())
        assert [each.claim_id for each in rows][:2] == [near["id"], far["id"]]
        assert rows[0].chance == 65
        (cause,) = queries.causes(connection, uncovered=True)
    assert (cause.codes, cause.count, cause.covered) == ("CO-999", 1, False)
    made = corrected(desk, near)
    lost = Paid(made["control_number"], "150", "0", (Line("99213", "150", "0", (("CO", "50", "150"),)),), icn="I2")
    desk.send(Remit((lost,), trace="EFT9"))
    with reading(world.store) as connection:
        rows = queries.denials(connection, world.clock.today())
    assert next(each for each in rows if each.claim_id == far["id"]).chance == 43  # (0 + 2 x 0.65) / 3
