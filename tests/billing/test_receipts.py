"""What partners send is acknowledged where they want it, and acknowledgements are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hub.formats.x12.acks import read_999, read_ta1
from hub.formats.x12.envelope import read_interchanges
from tests.billing.test_acknowledgements import ack_277ca, ack_999, interchange


@pytest.fixture
def wanting(world):
    """A world whose clearinghouse wants a TA1 and a 999 for whatever it sends."""
    partner = world.config.partners["clearway"].model_copy(update={"wants": ("TA1", "999")})
    world.config = replace(world.config, partners={**world.config.partners, "clearway": partner})
    return world


def statuses():
    """A 277CA in a group of its kind."""
    return ack_277ca([]).replace(b"GS*FA*", b"GS*HN*")


def asking(raw):
    """The same with ISA14 asking for a TA1."""
    return raw.replace(b"*0*T*:~", b"*1*T*:~")


PAYMENT = interchange(
    ["GS*HP*CLEARWAY01*ALDERST01*20261111*0900*9*X*005010X221A1", "ST*835*0001", "SE*2*0001", "GE*1*9"]
).replace(b"*0*T*:~", b"*1*P*:~")


def kinds(world):
    return [emit.kind for emit in world.emitted]


def test_a_277ca_is_answered_by_a_ta1_and_a_999_under_our_own_numbers(wanting):
    wanting.decide_file(asking(statuses()))
    assert kinds(wanting) == ["TA1", "999"]
    ta1, acknowledgement = (next(iter(read_interchanges(emit.body))) for emit in wanting.emitted)
    assert read_ta1(ta1.acknowledgements[0]).code == "A"
    (transaction,) = acknowledgement.transactions
    said = read_999(transaction)
    assert (said.code, said.control_number, said.transactions[0].id) == ("A", "9", "277")
    assert (acknowledgement.isa.sender, acknowledgement.isa.receiver) == ("ALDERST01", "CLEARWAY01")
    numbers = [each.isa.control_number for each in (ta1, acknowledgement)]
    assert numbers == ["000000001", "000000002"]


def test_a_file_whose_counts_are_wrong_is_refused_in_our_999(wanting):
    wanting.decide_file(statuses().replace(b"SE*10*", b"SE*11*"))
    (emit,) = wanting.emitted
    (transaction,) = next(iter(read_interchanges(emit.body))).transactions
    assert read_999(transaction).transactions[0].code == "R"


@pytest.mark.parametrize(
    "raw",
    [
        ack_999("A"),
        interchange(["TA1*000000001*261111*0900*A*000"]),
        statuses().replace(b"*0*T*:~", b"*0*P*:~"),
        PAYMENT,
    ],
)
def test_acknowledgements_and_files_of_the_other_environment_are_not_answered(wanting, raw):
    wanting.decide_file(asking(raw))
    assert kinds(wanting) == []


def test_a_partner_that_wants_nothing_hears_nothing(world):
    world.decide_file(asking(statuses()))
    assert kinds(world) == []
