"""Rules as data: what each verb does, which layer wins, what may never be set, and what is kept of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from hub.billing.claim_body import ClaimBody
from hub.billing.edits import Context
from hub.billing.rules.backtest import backtest
from hub.billing.rules.conditions import looked_at
from hub.billing.rules.examine import Examined, examine
from hub.billing.rules.fields import FIELDS, UnknownFieldError, field_of, place_of, read, write
from hub.billing.rules.layers import LayeredRule, RuleBook
from hub.billing.rules.model import Rule, RuleSample
from hub.billing.rules.sample import SAMPLE, sample_claim
from hub.billing.rules.sound import problems
from hub.cli.diff_claims import ClaimGroup, ClaimsCompared, RuleChange, compare_claims, recorded_claims
from hub.formats.x12.claim import Claim
from hub.store import tables

from .edit_samples import CONTEXT, PAYER, claim, line, lines, of, stay, subscriber
from .guide_places import of_the_guide

SAY = "A sentence that a biller reads."


def rule(**fields: Any) -> Rule:
    return Rule.model_validate({"id": "a-rule", "say": SAY, **fields})


def book(*rules: Rule, layer: str = "payer", **functions: Any) -> RuleBook:
    checks = {f"site.rules:{name}": function for name, function in functions.items()}
    return RuleBook(tuple(LayeredRule(layer, each) for each in rules), checks, "bundle1")


def run(said: Claim, *rules: Rule, **fields: Any) -> Examined:
    return examine(said, of(said)[1], book(*rules, **fields))


def hits(said: Claim, **fields: Any) -> bool:
    return any(trace.hit for trace in run(said, rule(**fields)).traces)


LAB = lines({"code": "83036"}, {"code": "36415"}, clia="14D0000001")
WITH_QW = lines({"code": "83036", "modifiers": ("QW",)}, {"code": "36415"}, clia="14D0000001")


@pytest.mark.parametrize(
    ("fields", "passing", "failing"),
    [
        ({"require": "2000A.PRV03"}, SAMPLE, write(SAMPLE, FIELDS["taxonomy"], "")),
        ({"require": ["clia", "note"], "when": {"code": "8*"}}, claim(note="X"), LAB),
        ({"forbid": "patient_paid"}, SAMPLE, claim(patient_paid=Decimal(5))),
        ({"forbid": "line", "when": {"code": "83036", "modifier_missing": "QW"}}, WITH_QW, LAB),
        ({"forbid": "claim", "when": {"frequency": "7"}}, SAMPLE, claim(frequency="7")),
        ({"limit": {"field": "units", "most": 4}}, SAMPLE, lines({"units": Decimal(5)})),
        ({"limit": {"field": "lines", "most": 1}}, SAMPLE, LAB),
        ({"limit": {"field": "member_id", "pattern": "W.*"}}, SAMPLE, subscriber(member_id="X1")),
        ({"limit": {"field": "note", "length": 5}}, claim(note="12345"), claim(note="123456")),
        ({"set": {"group_number": ""}}, SAMPLE, subscriber(group_number="G1")),
        ({"propose": {"modifier": "QW"}, "when": {"code": "83036"}}, WITH_QW, LAB),
        ({"propose": {"place_of_service": "02"}}, claim(place_of_service="02"), SAMPLE),
        ({"hold": True, "when": {"charge_over": 100}}, lines({"charge": Decimal(100)}), SAMPLE),
    ],
)
def test_each_verb_lets_one_claim_pass_and_hits_the_other(fields: Any, passing: Claim, failing: Claim) -> None:
    assert not hits(passing, **fields)
    assert hits(failing, **fields)


STAY_LAB = stay({"lines": (line(code="83036", revenue_code="0300", pointers=()),)})[0]


@pytest.mark.parametrize(
    ("said", "fields", "place"),
    [
        (SAMPLE, {"require": "group_number"}, "2000B SBR03"),
        (SAMPLE, {"require": "referral_number"}, "2300 REF02 (9F)"),
        (SAMPLE, {"require": "onset_date"}, "2300 DTP03 (431)"),
        (claim(patient_paid=Decimal(5)), {"forbid": "patient_paid"}, "2300 AMT02 (F5)"),
        (LAB, {"forbid": "line", "when": {"code": "83036", "modifier_missing": "QW"}}, "2400 SV101-2"),
        (claim(frequency="7"), {"forbid": "claim", "when": {"frequency": "7"}}, "2300 CLM05-3"),
        (lines({"units": Decimal(5)}), {"limit": {"field": "units", "most": 4}}, "2400 SV104"),
        (LAB, {"limit": {"field": "lines", "most": 1}}, "2400 LX01"),
        (LAB, {"propose": {"modifier": "QW"}, "when": {"code": "83036"}}, "2400 SV101-3"),
        (SAMPLE, {"hold": True, "when": {"form": "837P", "diagnosis": "E11*"}}, "2300 HI01-2 (ABK)"),
        (SAMPLE, {"hold": True, "when": {"lacks": "note"}}, "2300 NTE02"),
        (SAMPLE, {"hold": True}, "2300 CLM01"),
        (STAY_LAB, {"forbid": "line", "when": {"code": "83036"}}, "2400 SV202-2"),
        (STAY_LAB, {"require": "rendering"}, "2310D NM109"),
        (STAY_LAB, {"require": "onset_date"}, "2300 CLM01"),
        (STAY_LAB, {"require": "line_note"}, "2400 LX01"),
    ],
)
def test_a_finding_of_a_rule_is_of_level_7_and_at_the_field_that_the_rule_looks_at(
    said: Claim, fields: Any, place: str
) -> None:
    (finding,) = (each for each in run(said, rule(**fields)).findings if each.rule == "payer/a-rule")
    assert (finding.snip, str(finding.place), finding.stc) == (7, place, ())
    assert finding.fix.endswith(".")
    (finding,) = (each for each in run(said, rule(fix="Ask Ada.", **fields)).findings if each.rule == "payer/a-rule")
    assert finding.fix == "Ask Ada."


@pytest.mark.parametrize("form", ["837P", "837I"])
@pytest.mark.parametrize("name", FIELDS)
def test_every_field_stands_at_a_place_of_the_guide_of_either_form(name: str, form: str) -> None:
    assert place_of(FIELDS[name], form) in of_the_guide(form)


def test_every_condition_but_that_of_the_form_looks_at_a_field() -> None:
    for when, *_ in CONDITIONS:
        name = looked_at(Rule.model_validate({"id": "a-rule", "say": SAY, "when": when}).when)
        assert (name in FIELDS) is ("form" not in when), when


CONDITIONS: list[tuple[dict[str, Any], Claim, Claim]] = [
    ({"form": "837P"}, SAMPLE, SAMPLE),
    ({"payer": "900*"}, SAMPLE, write(SAMPLE, FIELDS["payer_id"], "77777")),
    ({"filing": ["CI", "BL"]}, SAMPLE, write(SAMPLE, FIELDS["filing_indicator"], "MB")),
    ({"sequence": "P"}, SAMPLE, subscriber(sequence="S")),
    ({"frequency": "1"}, SAMPLE, claim(frequency="7")),
    ({"relationship": "self"}, SAMPLE, SAMPLE),
    ({"place_of_service": "11"}, SAMPLE, claim(place_of_service="22")),
    ({"diagnosis": "E11*"}, SAMPLE, claim(diagnoses=("I10",))),
    ({"diagnosis_missing": "Z*"}, SAMPLE, claim(diagnoses=("Z0000",))),
    ({"rendering_npi": "1999000114"}, SAMPLE, claim(rendering=None)),
    ({"rendering_taxonomy": "207*"}, SAMPLE, claim(rendering=None)),
    ({"sex": "F"}, SAMPLE, subscriber(sex="M")),
    ({"age_under": 47}, SAMPLE, subscriber(birth_date=date(1979, 6, 15))),
    ({"age_over": 45}, SAMPLE, subscriber(birth_date=date(1981, 6, 16))),
    ({"charge_over": 149}, SAMPLE, lines({"charge": Decimal(149)})),
    ({"has": ["taxonomy", "code"]}, SAMPLE, write(SAMPLE, FIELDS["taxonomy"], "")),
    ({"lacks": "note"}, SAMPLE, claim(note="X")),
    ({"code": "992*"}, SAMPLE, lines({"code": "83036"})),
    ({"code": "83036", "other_code": "36415"}, LAB, lines({"code": "83036"})),
    ({"modifier": "25"}, lines({"modifiers": ("25",)}), SAMPLE),
    ({"modifier_missing": "25"}, SAMPLE, lines({"modifiers": ("25",)})),
    ({"units_over": 1}, lines({"units": Decimal(2)}), SAMPLE),
]


@pytest.mark.parametrize(("when", "holding", "other"), CONDITIONS, ids=lambda value: str(value)[:30])
def test_each_condition_holds_for_one_claim_and_not_for_the_other(when: Any, holding: Claim, other: Claim) -> None:
    assert hits(holding, when=when, hold=True)
    if holding != other:
        assert not hits(other, when=when, hold=True)


def test_conditions_about_lines_must_hold_for_one_and_the_same_line() -> None:
    mixed = lines({"code": "83036"}, {"code": "36415", "modifiers": ("59",)})
    result = run(mixed, rule(when={"code": "83036", "modifier": "59"}, hold=True))
    assert [(trace.hit, trace.why) for trace in result.traces] == [(False, "one line with all of them")]


def test_a_rule_is_in_force_by_date_of_service_not_by_today() -> None:
    dated = {"require": "note", "effective": "2026-07-01", "ends": "2026-12-31"}
    assert not hits(SAMPLE, **dated)
    assert hits(lines({"service_date": date(2026, 7, 1)}), **dated)
    assert not hits(lines({"service_date": date(2027, 1, 1)}), **dated)


def test_a_later_layer_loosens_only_what_it_names() -> None:
    strict = rule(id="wants-note", require="note")
    loose = rule(id="no-note", replaces="payer/wants-note", when={"place_of_service": "11"})
    both = RuleBook((LayeredRule("payer", strict), LayeredRule("site", loose)))
    office, hospital = SAMPLE, claim(place_of_service="22")
    assert not examine(office, CONTEXT, both).stops
    assert [finding.rule for finding in examine(hospital, CONTEXT, both).stops] == ["payer/wants-note"]
    (replaced,) = [t for t in examine(office, CONTEXT, both).traces if t.name == "payer/wants-note"]
    assert replaced.why == "replaced by a later rule"


def test_an_edit_that_may_be_loosened_is_replaced_by_name() -> None:
    said, context = of(lines({"charge": Decimal(149)}))
    assert [f.rule for f in examine(said, context, book()).findings] == ["LN-06"]
    assert examine(said, context, book(rule(replaces="LN-06"))).findings == ()


def test_a_sites_own_function_says_what_is_wrong() -> None:
    def no_notes(said: Claim) -> str | None:
        return "This claim has a note." if said.note else None

    asked = rule(check="site.rules:no_notes")
    assert not run(SAMPLE, asked, no_notes=no_notes).findings
    (finding,) = run(claim(note="X"), asked, no_notes=no_notes).stops
    assert finding.sentence == "This claim has a note."


def test_a_claim_waits_when_a_rules_function_is_missing_or_fails_and_nothing_of_it_is_told() -> None:
    def fails(said: Claim) -> str:
        raise ValueError(said.subscriber.member_id)

    for functions in ({}, {"fails": fails}):
        (finding,) = run(SAMPLE, rule(check="site.rules:fails"), **functions).stops
        assert "waits" in finding.sentence
        assert SAMPLE.subscriber.member_id not in finding.sentence


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if not field.form])
def test_no_rule_sets_a_fact_even_when_nobody_checked_it(name: str) -> None:
    result = run(SAMPLE, rule(set={name: ""}))
    assert result.claim == SAMPLE
    assert result.repairs == ()
    (problem,) = problems(LayeredRule("payer", rule(set={name: ""})), frozenset(), book())
    assert problem.code == "H523"


def test_the_fields_that_rules_may_set_are_form() -> None:
    form = {name for name, field in FIELDS.items() if field.form}
    assert form == {
        "pay_to", "group_number", "group_name", "filing_indicator", "payer_name", "medical_record_number", "note",
        "facility", "line_note",
    }  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_written_to_a_field_is_read_from_it(name: str) -> None:
    field = field_of(FIELDS[name].place)
    text = {"date": "2026-05-01", "amount": "12", "list": "AA OA", "person": "1999000221", "part": ""}.get(
        field.kind, "X1"
    )
    if name == "ndc":
        with pytest.raises(UnknownFieldError):
            write(SAMPLE, field, text, 1)
    else:
        assert read(write(SAMPLE, field, text, 1), field, 1) == text


SOUND = {
    "require": "note",
    "sample": [{"result": "pass", "claim": {"note": "X"}}, {"result": "hit"}],
}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, ""),
        ({"sample": SOUND["sample"][:1]}, "H520"),
        ({"sample": [{"result": "pass"}, {"result": "hit"}]}, "H521"),
        ({"sample": [*SOUND["sample"], {"result": "hit", "claim": {"nothing": "X"}}]}, "H522"),
        ({"require": "nothing"}, "H522"),
        ({"when": {"has": "nothing"}}, "H522"),
        ({"require": (), "set": {"code": "99214"}}, "H523"),
        ({"require": (), "propose": {"charge": "10.00"}}, "H523"),
        ({"hold": True}, "H524"),
        ({"require": ()}, "H524"),
        ({"replaces": "payer/other"}, "H525"),
        ({"replaces": "CL-02"}, "H525"),
        ({"require": (), "check": "site.rules:gone"}, "H527"),
    ],
)
def test_check_names_what_is_wrong_with_a_rule(change: dict[str, Any], code: str) -> None:
    found = list(problems(LayeredRule("payer", rule(**{**SOUND, **change})), frozenset(), book()))
    assert [problem.code for problem in found] == ([code] if code else [])
    assert all(problem.warning == (code == "H520") for problem in found)


def test_a_sample_may_have_more_lines() -> None:
    sample = RuleSample.model_validate({"result": "hit", "claim": {"code": "83036"}, "lines": [{"code": "36415"}]})
    assert [line.code for line in sample_claim(sample).lines] == ["83036", "36415"]


# ---------------------------------------------------------------- in the store


def with_rules(world: Any, *rules: Rule) -> Any:
    cedar = world.config.payers["90001"].model_copy(update={"rules": rules})
    world.config = replace(world.config, payers={**world.config.payers, "90001": cedar}, bundle="bundle1")
    return world


def bill(world: Any, **coverage: Any) -> dict[str, Any]:
    world.decide_values([world.visit(coverages=(world.coverage(**coverage),)), world.charge()])
    world.start()
    world.advance(days=1.1)
    world.run_due("bill")
    found: dict[str, Any] = world.one(tables.claim)
    return found


def recorded(world: Any) -> list[dict[str, Any]]:
    return [json.loads(row["detail"]) for row in world.rows(tables.claim_event, kind="edit_result")]


def said(world: Any) -> ClaimBody:
    return ClaimBody.from_plain(world.open(tables.claim, world.one(tables.claim)))


def test_a_hit_is_recorded_with_its_rule_its_bundle_and_the_shape_of_before_and_after(world: Any) -> None:
    row = bill(with_rules(world, rule(set={"group_number": ""})), group_number="G-1234")
    assert row["state"] == "ready"
    (event,) = recorded(world)
    assert event["bundle"] == "bundle1"
    assert event["repairs"] == [{"rule": "payer/a-rule", "place": "group_number", "before": "x-9999", "after": ""}]
    assert said(world).claim.subscriber.group_number == ""
    assert said(world).said.subscriber.group_number == "G-1234"
    world.check_ledger()


def test_a_repair_is_taken_back_by_a_person_and_the_claim_says_it_as_before(world: Any) -> None:
    row = bill(with_rules(world, rule(set={"group_number": ""})), group_number="G-1234")
    about = {"claim_id": row["id"], "rule": "payer/a-rule", "reason": "the payer wants it"}
    assert world.command("undo_repair", actor="ada", version=row["version"], **about)["ok"]
    row = world.one(tables.claim)
    assert row["state"] == "ready"
    assert said(world).claim.subscriber.group_number == "G-1234"
    assert not world.command("undo_repair", version=row["version"], **about)["ok"]
    (note,) = world.rows(tables.claim_event, kind="note")
    assert note["actor"] == "ada"


def test_a_proposal_waits_for_a_person_whose_name_stands_on_the_change(world: Any) -> None:
    proposal = rule(propose={"modifier": "25"}, when={"code": "99213", "modifier_missing": "25"})
    row = bill(with_rules(world, proposal))
    assert row["state"] == "held"
    assert said(world).claim.lines[0].modifiers == ()
    (item,) = world.items("approval")
    assert item["sentence"] == SAY
    (finding,) = world.open(tables.work_item, item)["findings"]
    assert finding["proposal"] == {"field": "modifiers", "value": "25", "line": 1}
    args = {"claim_id": row["id"], "version": row["version"], "rule": "payer/a-rule", "line": 1}
    assert not world.command("accept_proposal", **{**args, "rule": "LN-10"})["ok"]
    assert world.command("accept_proposal", actor="ada", **args) == {"ok": True, "state": "ready"}
    assert said(world).claim.lines[0].modifiers == ("25",)
    assert world.one(tables.claim_line)["modifiers"] == "25"
    assert world.items() == []
    (note,) = world.rows(tables.claim_event, kind="note")
    assert (note["actor"], json.loads(note["detail"])["after"]) == ("ada", "99")
    (sent,) = world.bill_and_batch()
    assert b"SV1*HC>99213>25" in sent.body or b"SV1*HC:99213:25" in sent.body
    assert not world.command("accept_proposal", **{**args, "version": world.one(tables.claim)["version"]})["ok"]


def test_an_item_that_comes_back_says_what_is_found_now(world: Any) -> None:
    proposal = rule(id="first", propose={"modifier": "25"}, when={"code": "99213", "modifier_missing": "25"})
    row = bill(with_rules(world, proposal, rule(id="second", hold=True, say="Somebody looks at this.")))
    (item,) = world.items("approval")
    assert item["sentence"] == f"{SAY} Somebody looks at this."
    args = {"claim_id": row["id"], "version": row["version"], "rule": "payer/first", "line": 1}
    assert world.command("accept_proposal", **args) == {"ok": True, "state": "held"}
    (item,) = world.items("approval")
    assert (item["sentence"], item["rule"]) == ("Somebody looks at this.", "payer/second")
    assert [each["rule"] for each in world.open(tables.work_item, item)["findings"]] == ["payer/second"]


def test_a_held_claim_goes_as_it_is_when_a_person_approves_it(world: Any) -> None:
    row = bill(with_rules(world, rule(hold=True)))
    assert row["state"] == "held"
    assert world.command("approve_claim", claim_id=row["id"], version=row["version"])["state"] == "ready"
    assert world.items() == []


def test_an_error_of_a_rule_stops_the_claim_with_its_sentence(world: Any) -> None:
    row = bill(with_rules(world, rule(require="note")))
    assert row["state"] == "needs fix"
    (item,) = world.items("claim edits")
    assert (item["rule"], item["sentence"]) == ("payer/a-rule", SAY)


def test_a_warning_is_recorded_and_the_claim_goes(world: Any) -> None:
    row = bill(with_rules(world, rule(require="note", severity="warning")))
    assert row["state"] == "ready"
    (event,) = recorded(world)
    assert event["found"] == [
        {
            "rule": "payer/a-rule",
            "severity": "warning",
            "line": 0,
            "snip": 7,
            "loop": "2300",
            "segment": "NTE",
            "element": "02",
            "qualifier": "",
            "value_hash": "",
            "sentence": SAY,
            "fix": "Enter it in the EHR, or in the practice's files where it comes from there.",
            "stc": [],
        }
    ]
    assert SAY in event["sentence"]


def test_a_second_service_that_a_person_vouched_for_is_no_duplicate_to_the_edits_either(world: Any) -> None:
    world.decide_values([world.visit(), world.charge(), world.visit("A2"), world.charge("T2", "A2")])
    world.start()
    world.advance(days=1.1)
    world.run_due("bill")
    held = world.one(tables.charge, state="held")
    assert world.command("release_charge", charge_id=held["id"], version=held["version"])["ok"]
    world.run_due("bill")
    assert [row["state"] for row in world.rows(tables.claim)] == ["ready", "ready"]
    assert [event.get("found") for event in recorded(world)] == [None, None]


def test_a_back_test_counts_what_a_new_rule_would_have_caught_and_stopped(world: Any) -> None:
    row = bill(world)
    before = with_rules(world, rule(id="wants-note", require="note"), rule(id="fine", require="taxonomy"))
    with world.store.connect() as connection:
        found = backtest(
            connection, before.config, lambda sealed: world.vault.open_json(sealed, "claim.body"), "90001",
            world.clock.today(), 30,
        )  # fmt: skip
    assert (found.claims, found.known_denials) == (1, 0)
    result = found.rules["payer/wants-note"]
    assert (result.hits, result.caught, result.new, result.claims) == (1, 0, 1, [row["control_number"]])
    assert found.rules["payer/fine"].hits == 0


def test_recorded_claims_tell_what_a_changed_rule_would_do_to_them(world: Any) -> None:
    number = bill(world)["control_number"]
    new = with_rules(world, rule(id="wants-note", require="note"), rule(id="fine", require="taxonomy")).config
    with world.store.connect() as connection:
        claims = recorded_claims(connection, lambda sealed: world.vault.open_json(sealed, "claim.body"), 500)
    before = with_rules(world).config
    assert compare_claims(before, before, claims, world.clock.today()) == ClaimsCompared(1, 1, (), ())
    found = compare_claims(before, new, claims, world.clock.today())
    assert (found.seen, found.same) == (1, 0)
    assert found.groups == (ClaimGroup("90001", "payer/wants-note", "nothing", "needs a fix", (number,)),)
    assert found.rules == (
        RuleChange("90001", "payer/fine", "added", 0, 1),
        RuleChange("90001", "payer/wants-note", "added", 1, 1),
    )
    taken_away = compare_claims(new, before, claims, world.clock.today())
    assert [(each.was, each.now) for each in taken_away.groups] == [("needs a fix", "nothing")]


def test_the_context_without_data_stops_nothing() -> None:
    assert examine(SAMPLE, Context(PAYER, CONTEXT.today), RuleBook()).findings == ()
