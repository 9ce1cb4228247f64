"""What payers authorised beforehand is kept, and a claim is held against what it covers (CL-14)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from hub.billing.edits import Authorised, Finding, scrub
from hub.billing.values import Authorisation, AuthorisedService
from hub.formats.x12.claim import Claim
from hub.store import tables

from .edit_samples import MAMMOGRAM, NPI, SERVICE_DATE, claim, lines, of

D = Decimal
BILLED = lines(MAMMOGRAM, prior_authorisation="A100")
FILED = Authorised("A100", {"77067": D(1)}, SERVICE_DATE, SERVICE_DATE)


def found(said: Claim, *on_file: Authorised) -> list[Finding]:
    return [each for each in scrub(*of(said, authorisations=on_file)).findings if each.rule == "CL-14"]


def test_a_claim_within_its_authorisation_passes() -> None:
    assert found(BILLED, FILED) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"active": False}, "refused"),
        ({"services": {"70553": None}}, "none of the services"),
        ({"effective": SERVICE_DATE + timedelta(days=1)}, "outside the days"),
        ({"expires": SERVICE_DATE - timedelta(days=1)}, "outside the days"),
        ({"providers": frozenset({NPI})}, "another provider"),
        ({"used": {"77067": D(1)}}, "More units"),
        ({"services": {"77067": D("0.5")}}, "More units"),
        ({"services": {"": D(3)}, "used": {"97110": D(2), "97140": D(1)}}, "More units"),
    ],
)
def test_what_lies_outside_of_it_stops_the_claim(change: dict[str, Any], says: str) -> None:
    (finding,) = found(BILLED, replace(FILED, **change))
    assert says in finding.sentence
    assert finding.stops


@pytest.mark.parametrize(
    "change",
    [
        {"services": {}},
        {"services": {"": None}},
        {"effective": None, "expires": None},
        {"providers": frozenset({"1999000114"})},
        {"providers": frozenset({"1999000015"})},  # given to the practice
        {"services": {"77067": None}, "used": {"77067": D(40)}},
        {"services": {"77067": D(1), "": D(2)}, "used": {"97110": D(2)}},
    ],
)
def test_what_it_does_not_limit_is_not_judged(change: dict[str, Any]) -> None:
    assert found(BILLED, replace(FILED, **change)) == []


def test_units_of_several_lines_count_together() -> None:
    twice = lines({"code": "97110"}, {"code": "97110"}, prior_authorisation="A100")
    (finding,) = found(twice, replace(FILED, services={"97110": D(1)}))
    assert finding.line == 2


def test_a_service_beside_those_authorised_is_judged_where_the_payer_wants_one_for_it() -> None:
    other = replace(FILED, services={"99213": None})
    assert [finding.line for finding in found(lines({}, MAMMOGRAM, prior_authorisation="A100"), other)] == [2]
    assert found(lines({}, {"code": "83036"}, prior_authorisation="A100"), other) == []


def test_a_line_that_names_a_number_of_its_own_is_held_against_that() -> None:
    own = lines({**MAMMOGRAM, "prior_authorisation": "A200"}, prior_authorisation="A100")
    assert found(own, replace(FILED, expires=SERVICE_DATE - timedelta(days=9))) == []


@pytest.mark.parametrize("change", [{"active": False}, {"expires": SERVICE_DATE - timedelta(days=1)}])
def test_what_is_wrong_with_a_number_stands_where_the_number_does(change: dict[str, Any]) -> None:
    of_claim = found(BILLED, replace(FILED, **change))
    of_line = found(lines({**MAMMOGRAM, "prior_authorisation": "A100"}), replace(FILED, **change))
    assert [str(finding.place) for finding in (*of_claim, *of_line)] == ["2300 REF02 (G1)", "2400 REF02 (G1)"]


def test_one_on_file_that_covers_the_service_is_proposed_where_the_claim_names_none() -> None:
    (finding,) = found(lines(MAMMOGRAM), replace(FILED, number="A099", active=False), FILED)
    assert finding.proposal is not None
    assert (finding.proposal.field, finding.proposal.value) == ("prior_authorisation", "A100")
    (finding,) = found(lines(MAMMOGRAM), replace(FILED, used={"77067": D(1)}))
    assert finding.proposal is None


def test_a_number_that_is_not_on_file_is_not_judged() -> None:
    assert found(claim(prior_authorisation="A900"), FILED) == []


# ---------------------------------------------------------------- what is kept


def authorised(world: Any, **fields: Any) -> Authorisation:
    given: dict[str, Any] = {
        "number": "A100",
        "mrn": "M1",
        "authority": "ALDER",
        "payer_id": "90001",
        "services": (AuthorisedService(code="97110", units=D(4)),),
        "as_of": world.clock.now().isoformat(),
    }
    return Authorisation(**{**given, **fields})


def billed(world: Any, account: str, units: int, **fields: Any) -> dict[str, Any]:
    """A therapy claim under the authorisation."""
    charge = {"code": "97110", "units": D(units), "amount": D(units * 50), **fields}
    visit = world.visit(account=account, prior_authorisation="A100")
    world.decide_values([visit, world.charge(account, account, **charge)])
    world.advance(days=1.1)
    world.run_due("bill")
    return dict(world.rows(tables.claim)[-1])


def rules(world: Any, claim: dict[str, Any]) -> list[str]:
    event = world.rows(tables.claim_event, claim_id=claim["id"], kind="edit_result")[-1]
    return list(json.loads(event["detail"])["rules"])


def test_the_units_of_earlier_claims_are_used_up(world: Any) -> None:
    world.decide_values([authorised(world)])
    assert billed(world, "A1", 3)["state"] == "ready"
    second = billed(world, "A2", 2)
    assert second["state"] == "needs fix"
    assert "CL-14" in rules(world, second)


def test_claims_that_the_payer_did_not_take_use_nothing_up(world: Any) -> None:
    world.decide_values([authorised(world)])
    first = billed(world, "A1", 3)
    with world.writing() as connection:
        connection.execute(tables.claim.update().where(tables.claim.c.id == first["id"]).values(state="rejected"))
    assert billed(world, "A2", 2)["state"] == "ready"


def test_a_claim_goes_by_itself_when_more_is_authorised_and_waits_when_it_is_taken_back(world: Any) -> None:
    world.decide_values([authorised(world)])
    claim = billed(world, "A1", 6)
    assert claim["state"] == "needs fix"
    world.decide_values([authorised(world, services=(AuthorisedService(code="97110", units=D(8)),))])
    assert world.one(tables.claim)["state"] == "ready"
    assert world.items("claim edits") == []
    world.advance(hours=1)
    world.decide_values([authorised(world, active=False)])
    assert world.one(tables.claim)["state"] == "needs fix"


def test_what_is_older_than_the_last_that_was_said_changes_nothing(world: Any) -> None:
    newest = authorised(world)
    world.advance(days=-1)
    older = authorised(world, active=False)
    world.decide_values([newest, older])
    assert world.counts["stale updates"] == 1
    assert billed(world, "A1", 1)["state"] == "ready"


def test_the_same_again_is_counted_as_such(world: Any) -> None:
    world.decide_values([authorised(world), authorised(world)])
    assert world.counts["duplicate authorisations"] == 1
    assert len(world.rows(tables.authorisation)) == 1


def test_one_of_another_payer_says_nothing_about_the_claim(world: Any) -> None:
    world.decide_values([authorised(world, payer_id="90003", active=False)])
    assert billed(world, "A1", 1)["state"] == "ready"


def test_one_for_nobody_is_for_a_person(world: Any) -> None:
    world.decide_values([authorised(world, mrn="")])
    assert [item["kind"] for item in world.items("anomalies")] == ["authorisation for nobody"]
    assert world.rows(tables.authorisation) == []


def test_the_number_is_sealed(world: Any) -> None:
    world.decide_values([authorised(world)])
    (row,) = world.rows(tables.authorisation)
    assert b"A100" not in row["body"] + row["digest"]
    assert world.open(tables.authorisation, row)["number"] == "A100"
