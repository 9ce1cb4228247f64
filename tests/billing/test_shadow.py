"""What another system sent is held against our claims, field by field."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hub.billing.shadow import compare
from hub.formats.x12.professional import read_837p


def theirs(world):
    """The claim that the other system sends for the same visit: as ours, under its own number."""
    world.decide_values([world.visit(), world.charge()])
    (batch,) = world.bill_and_batch()
    (claim,) = read_837p(batch.body)
    return replace(claim, control_number="OLD1")


def compared(world, *sent):
    with world.store.connect() as connection:
        return compare(connection, lambda sealed: world.vault.open_json(sealed, "claim.body"), sent)


def test_the_same_claim_under_another_number_differs_in_nothing(world):
    (pair,) = compared(world, theirs(world))
    assert (pair.theirs, bool(pair.ours), pair.differences) == ("OLD1", True, ())


def test_what_is_said_differently_is_named_by_field_and_line(world):
    claim = theirs(world)
    line = replace(claim.lines[0], code="99214", charge=Decimal("175.00"))
    (pair,) = compared(world, replace(claim, lines=(line,), place_of_service="22"))
    said = {(each.field, each.line): (each.ours, each.theirs) for each in pair.differences}
    assert said[("code", 1)] == ("99213", "99214")
    assert said[("place_of_service", 0)] == ("11", "22")
    assert {field for field, _ in said} == {"code", "charge", "place_of_service"}


def test_a_claim_that_we_do_not_have_is_told_and_ours_counts_once(world):
    claim = theirs(world)
    stranger = replace(claim, subscriber=replace(claim.subscriber, member_id="W000000000"))
    assert [bool(pair.ours) for pair in compared(world, claim, claim, stranger)] == [True, False, False]
