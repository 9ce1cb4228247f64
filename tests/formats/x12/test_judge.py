from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.formats.x12.judge import judge


# The 999 is left out: the map knows loop ids of four characters only, and real ones (2010AA) have six.
@pytest.mark.parametrize("name", ["837p_original", "837p_secondary", "835", "277ca"])
def test_the_samples_are_sound(samples, name: str) -> None:
    assert judge(samples[name]).findings == ()
    assert judge(samples[name]).ok


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (b"*11:B:1*", b"*QQ:B:1*", ("2300", "CLM", "05-1", "7", "H7K2M9Q4A1")),
        (b"DTP*472*D8*20261110", b"DTP*472*D8*20261310", ("2400", "DTP", "03", "8", "H7K2M9Q4A1")),
        (b"DMG*D8*19800214*F", b"DMG*D8*19800230*F", ("2010BA", "DMG", "02", "8", "H7K2M9Q4A1")),
        (b"REF*EI*371990001~\n", b"", ("", "", "", "3", "")),
        (b"*215***11:B:1*", b"*2l5***11:B:1*", ("2300", "CLM", "02", "6", "H7K2M9Q4A1")),
    ],
)
def test_a_finding_names_the_place_the_code_and_the_claim(
    samples, before: bytes, after: bytes, expected: tuple[str, ...]
) -> None:
    verdict = judge(samples["837p_original"].replace(before, after, 1))
    assert not verdict.ok
    found = [(f.loop, f.segment, f.element, f.code, f.claim) for f in verdict.findings]
    assert any(all(not want or want == got for want, got in zip(expected, f, strict=True)) for f in found), found


@pytest.mark.parametrize(
    ("before", "after", "place", "snip"),
    [
        (b"DTP*472*D8*20261110", b"DTP*472*D8*20261310", "2400 DTP03", 1),
        (b"*215***11:B:1*", b"*2l5***11:B:1*", "2300 CLM02", 1),
        (b"*11:B:1*", b"*QQ:B:1*", "2300 CLM05-1", 2),
        (b"DMG*D8*19800214*F", b"DMG*D8*19800214*X", "2010BA DMG03", 2),
    ],
)
def test_a_finding_is_of_level_1_for_the_syntax_and_of_level_2_for_the_guide(
    samples, before: bytes, after: bytes, place: str, snip: int
) -> None:
    verdict = judge(samples["837p_original"].replace(before, after, 1))
    assert (place, snip) in [(str(found.place), found.snip) for found in verdict.findings]


def test_a_required_segment_that_is_missing_is_of_level_2_and_a_broken_envelope_of_level_1(samples) -> None:
    missing = judge(samples["837p_original"].replace(b"REF*EI*371990001~\n", b"", 1))
    assert 2 in {found.snip for found in missing.findings}
    broken = judge(samples["837p_original"].replace(b"IEA*1*000000101~\n", b""))
    assert {found.snip for found in broken.findings} == {1}


def test_a_finding_holds_no_value(samples) -> None:
    verdict = judge(samples["837p_original"].replace(b"DTP*472*D8*20261110", b"DTP*472*D8*SECRET99", 1))
    assert verdict.findings
    assert not any("SECRET" in str(f) for f in verdict.findings)


def test_the_judge_logs_nothing(samples, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        judge(samples["837p_original"].replace(b"W123456789", b""))
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_what_the_library_lets_pass_in_the_envelope_is_found(samples) -> None:
    verdict = judge(samples["837p_original"].replace(b"IEA*1*000000101~\n", b""))
    assert not verdict.ok
    assert "IEA" in {f.code for f in verdict.findings}


def test_a_guide_without_a_map_cannot_be_judged_and_is_not_ok(samples) -> None:
    verdict = judge(samples["837p_original"].replace(b"X222A1", b"X222A9"))
    assert not verdict.ok
    assert [f.message for f in verdict.findings] == ["The guide that this group names cannot be judged."]


@given(st.binary(max_size=300))
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    assert not judge(data).ok


def test_a_sample_cut_anywhere_gets_a_verdict_against_it(samples) -> None:
    data = samples["837p_original"].rstrip()
    for cut in range(0, len(data) - 1, 37):
        assert not judge(data[:cut]).ok
