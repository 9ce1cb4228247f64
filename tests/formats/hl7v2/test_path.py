from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.formats.hl7v2.path import ALL, Match, Path, PathError

PARSED = {
    "PID-3": Path("PID", None, 3, None, None, None),
    "PID-3.1": Path("PID", None, 3, None, 1, None),
    "PID-3.4.2": Path("PID", None, 3, None, 4, 2),
    "PID-3[2].1": Path("PID", None, 3, 2, 1, None),
    "PID-3[*].1": Path("PID", None, 3, ALL, 1, None),
    "PID-3[.5=MR].1": Path("PID", None, 3, Match(5, None, "MR"), 1, None),
    "PID-3[.4.2=1.2.3].1": Path("PID", None, 3, Match(4, 2, "1.2.3"), 1, None),
    "PID-3[MR].1": Path("PID", None, 3, Match(5, None, "MR"), 1, None),
    "FT1[2]-25.1": Path("FT1", 2, 25, None, 1, None),
    "ZPV[*]-3": Path("ZPV", ALL, 3, None, None, None),
}


@pytest.mark.parametrize(("text", "path"), PARSED.items())
def test_every_spelling_is_read(text: str, path: Path) -> None:
    assert Path.parse(text) == path


def test_a_path_is_parsed_once() -> None:
    assert Path.parse("PID-3[2].1") is Path.parse("PID-3[2].1")


positive = st.integers(1, 999)
paths = st.builds(
    Path,
    segment=st.from_regex(r"[A-Z][A-Z0-9]{2}", fullmatch=True).filter(str.isascii),
    ordinal=st.none() | st.just(ALL) | positive,
    field=positive,
    repetition=st.none()
    | st.just(ALL)
    | positive
    | st.builds(Match, positive, st.none() | positive, st.text(min_size=1).filter(lambda t: "]" not in t)),
    component=st.none() | positive,
    subcomponent=st.none(),
)


@given(paths)
def test_a_path_written_out_reads_as_the_same_path(path: Path) -> None:
    assert Path.parse(str(path)) == path


@pytest.mark.parametrize(
    ("typo", "meant"),
    {
        "PID.3.1": "PID-3.1",
        "pid-3.1": "PID-3.1",
        "PID-3-1": "PID-3.1",
        "PID_3.1": "PID-3.1",
        "PID3.1": "PID-3.1",
        "PID 3": "PID-3",
        "PID-3(2).1": "PID-3[2].1",
        "PID-3.1[2]": "PID-3[2].1",
        "FT1(2)-25.1": "FT1[2]-25.1",
        "FT1.25": "FT1-25",
    }.items(),
)
def test_a_typo_is_answered_with_what_was_probably_meant(typo: str, meant: str) -> None:
    with pytest.raises(PathError) as raised:
        Path.parse(typo)
    assert raised.value.fix == f'Did you mean "{meant}"?'
    assert raised.value.where == typo
    assert raised.value.expected


@pytest.mark.parametrize(
    "text", ["", "PID", "PID-0", "PID-3.0", "P-3", "PID-x", "PID-3[0]", "PID-3[]", "PID-3[=MR]", "PID-" + "9" * 5000]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(PathError):
        Path.parse(text)


@given(st.text())
def test_any_text_is_a_path_or_a_path_error(text: str) -> None:
    try:
        said: object = Path.parse(text)
    except PathError as error:
        said = error
    assert isinstance(said, Path | PathError)
