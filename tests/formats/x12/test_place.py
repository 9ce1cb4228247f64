from __future__ import annotations

from dataclasses import replace

import pytest

from hub.formats.x12.claim import Claim
from hub.formats.x12.claim_values import ClaimValues
from hub.formats.x12.place import Place, place
from hub.formats.x12.professional import read_837p


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("2010AA NM109", ("2010AA", "NM1", "09", "")),
        ("2400 SV101-2", ("2400", "SV1", "01-2", "")),
        ("2010BA N403", ("2010BA", "N4", "03", "")),
        ("2300 REF02 (G1)", ("2300", "REF", "02", "G1")),
        ("2300 HI (ABF)", ("2300", "HI", "", "ABF")),
    ],
)
def test_a_place_is_written_as_it_is_read(text: str, parts: tuple[str, ...]) -> None:
    assert place(text) == Place(*parts)
    assert str(place(text)) == text


@pytest.mark.parametrize("text", ["", "2300", "2300 clm01", "2300 CLM1", "2300 CLM01 G1"])
def test_what_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        place(text)


def test_a_segment_covers_its_elements_and_an_element_its_components_of_the_same_qualifier() -> None:
    assert place("2300 HI (ABF)").covers(place("2300 HI02-2 (ABF)"))
    assert place("2400 SV107").covers(place("2400 SV107-1"))
    assert not place("2300 HI (ABK)").covers(place("2300 HI02-2 (ABF)"))
    assert not place("2400 SV101-1").covers(place("2400 SV101-12"))
    assert not place("2300 DTP03 (439)").covers(place("2400 DTP03 (439)"))


@pytest.fixture
def claim(samples) -> Claim:
    found: Claim = read_837p(samples["837p_original"])[0]
    return found


@pytest.mark.parametrize(
    ("text", "line", "value"),
    [
        ("2010BA NM109", 0, "W123456789"),
        ("2300 DTP03 (472)", 0, ""),
        ("2400 DTP03 (472)", 1, "20261110"),
        ("2010AA REF02 (EI)", 0, "371990001"),
        ("2010AA REF02 (SY)", 0, ""),
        ("2300 PWK06", 0, ""),
    ],
)
def test_the_claims_own_837_says_what_stands_at_a_place(claim: Claim, text: str, line: int, value: str) -> None:
    assert ClaimValues(claim).at(place(text), line) == value


def test_a_place_of_a_line_is_that_lines_own(claim: Claim) -> None:
    values = ClaimValues(replace(claim, lines=(replace(claim.lines[0], code="99211"), claim.lines[0])))
    assert values.at(place("2400 SV101-2"), 1) == "99211"
    assert values.at(place("2400 SV101-2"), 2) == claim.lines[0].code
    assert values.at(place("2010BA NM109"), 2) == claim.subscriber.member_id


def test_a_diagnosis_is_found_by_its_own_qualifier(claim: Claim) -> None:
    values = ClaimValues(replace(claim, diagnoses=("E119", "I10")))
    assert values.at(place("2300 HI01-2 (ABK)")) == "E119"
    assert values.at(place("2300 HI02-2 (ABF)")) == "I10"
    assert values.at(place("2300 HI02-2 (ABK)")) == ""


def test_a_claim_that_cannot_be_written_says_nothing(claim: Claim) -> None:
    assert ClaimValues(replace(claim, lines=())).at(place("2010BA NM109")) == ""
