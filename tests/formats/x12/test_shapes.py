"""What is passed because its shape is known is what pyx12 itself passes, however an interchange is damaged."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.formats.x12 import shapes
from hub.formats.x12.institutional import write_837i
from hub.formats.x12.judge import judge
from hub.formats.x12.professional import write_837p
from hub.formats.x12.shapes import ShapeJudge
from tests.formats.x12.claim_shapes import ENVELOPE, Maker, batch, institutional_claims, professional_claims

SOME = 4
PROFESSIONAL = write_837p(ENVELOPE, batch(*professional_claims("shapes", SOME)))
INSTITUTIONAL = write_837i(ENVELOPE, batch(*institutional_claims("shapes", SOME)))
VALUES = (
    *("", " ", "A", "a", "Z9", "É", "1", "0", "-1", "1.5", "1.", ".5", "00", "20261110", "20261399", "17991231"),
    *("2026", "2460", "20260229", "20261110-20261111", "20261111-", "202611100830", "X" * 81, "A ", " A", "A:B", ":"),
    *("^", "\t", "XX", "MI", "18", "ABK:E119", "HC:99213", "11:B:1", "D8", "RD8", "EI", "IL", "62701", "9" * 19),
)


@pytest.fixture(scope="module")
def knowing() -> ShapeJudge:
    """A judge that has passed every shape of the two interchanges."""
    made = ShapeJudge()
    assert made.judge(PROFESSIONAL).ok
    assert made.judge(INSTITUTIONAL).ok
    return made


def elements_of(data: bytes) -> list[list[str]]:
    return [segment.split("*") for segment in data.decode().rstrip("~").split("~")]


def written(segments: list[list[str]]) -> bytes:
    return ("~".join("*".join(elements) for elements in segments) + "~").encode("latin-1")


def counted(segments: list[list[str]]) -> list[list[str]]:
    """With the transaction's count set right, so that the damage itself is judged."""
    return [["SE", str(len(segments) - 4), *each[2:]] if each[0] == "SE" else each for each in segments]


def damaged(data: bytes, chance: random.Random) -> bytes:
    segments = elements_of(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(segments))
        elements = segments[at]
        match chance.randrange(8):
            case 0:
                segments = counted(segments[:at] + segments[at + 1 :])
            case 1:
                segments = counted([*segments[:at], elements, *segments[at:]])
            case 2:
                other = chance.randrange(len(segments))
                segments[at], segments[other] = segments[other], elements
            case 3:
                segments[at] = [*elements, chance.choice(VALUES)]
            case _ if len(elements) > 1:
                place = chance.randrange(1, len(elements))
                like = [each[place] for each in segments if each[0] == elements[0] and len(each) > place]
                value = chance.choice([*VALUES, *like])
                segments[at] = [*elements[:place], value, *elements[place + 1 :]]
    return written(segments)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9), st.booleans())
def test_a_damaged_interchange_is_judged_as_pyx12_judges_it(knowing: ShapeJudge, seed: int, stays: bool) -> None:
    data = damaged(INSTITUTIONAL if stays else PROFESSIONAL, random.Random(seed))
    assert knowing.judge(data).ok == judge(data).ok


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9), st.booleans())
def test_a_claim_of_any_shape_is_judged_as_pyx12_judges_it(knowing: ShapeJudge, seed: int, stays: bool) -> None:
    maker = Maker(str(seed))
    claim = maker.institutional(1) if stays else maker.professional(1)
    data = (write_837i if stays else write_837p)(ENVELOPE, batch(claim))
    assert knowing.judge(data).ok
    assert judge(data).ok


def test_what_is_refused_comes_with_the_findings_of_the_whole(knowing: ShapeJudge) -> None:
    data = PROFESSIONAL.replace(b"*XX*1999000015~", b"*ZZ*1999000015~", 1)
    assert knowing.judge(data) == judge(data)
    assert not knowing.judge(data).ok


def test_only_what_is_new_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = counting(monkeypatch)
    made = ShapeJudge()
    claims = professional_claims("shapes", SOME)
    made.judge(write_837p(ENVELOPE, batch(*claims)))
    alike = [replace(claim, control_number=f"K{claim.control_number[1:]}") for claim in claims]
    stranger = Maker("stranger").professional(99)
    asked.clear()
    assert made.judge(write_837p(ENVELOPE, batch(*alike))).ok
    assert asked == []
    assert made.judge(write_837p(ENVELOPE, batch(*alike, stranger))).ok
    assert [data.count(b"~CLM*") <= 2 for data in asked] == [True]  # the stranger, and what follows it


def test_of_many_claims_of_one_new_shape_one_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = counting(monkeypatch)
    claim = Maker("one").professional(1)
    many = [replace(claim, control_number=f"HUB{number:05d}") for number in range(30)]
    assert ShapeJudge().judge(write_837p(ENVELOPE, batch(*many))).ok
    assert [data.count(b"~CLM*") for data in asked] == [3]  # the first, what follows it, and the last one of the level


def test_a_claim_is_judged_now_and_then_however_well_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = counting(monkeypatch)
    made = ShapeJudge()
    for _ in range(60):
        assert made.judge(write_837p(ENVELOPE, batch(Maker("one").professional(1)))).ok
    assert len(asked) == 2


def test_a_claim_with_more_lines_than_the_guide_takes_is_refused(knowing: ShapeJudge) -> None:
    claim = Maker("long").professional(1)
    line = replace(claim.lines[0], charge=Decimal("1.00"))
    lines = tuple(replace(line, control_number=f"HUB00001L{number:02d}") for number in range(1, 52))
    assert knowing.judge(write_837p(ENVELOPE, batch(replace(claim, lines=lines[:50])))).ok
    assert not knowing.judge(write_837p(ENVELOPE, batch(replace(claim, lines=lines)))).ok


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-3],
        lambda data: data.replace(b"~GE*1*", b"~GE*2*"),
        lambda data: data.replace(b"~HL*2*1*", b"~HL*3*1*"),
        lambda data: data.replace(b"~LX*1~", b"~LX*2~", 1),
        lambda data: data.replace(b"005010X222A1", b"005010X224A2"),
        lambda data: data + data,
        lambda data: b"",
        lambda data: b"MSH|^~\\&|",
    ],
)
def test_what_is_not_as_the_hub_writes_it_is_judged_whole(knowing: ShapeJudge, spoil: Callable[[bytes], bytes]) -> None:
    data = spoil(PROFESSIONAL)
    assert knowing.judge(data) == judge(data)


def counting(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What pyx12 is asked about from now on."""
    asked: list[bytes] = []

    def judged(data: bytes):  # type: ignore[no-untyped-def]
        asked.append(data)
        return judge(data)

    monkeypatch.setattr(shapes, "judge", judged)
    return asked
