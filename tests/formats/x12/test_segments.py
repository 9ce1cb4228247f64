from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.formats.x12.errors import BrokenSegmentError, NotAnInterchangeError
from hub.formats.x12.segments import STANDARD, Delimiters, Segment, read_segments


def isa(marks: Delimiters = STANDARD, control: str = "000000101") -> str:
    parts = [
        "ISA", "00", " " * 10, "00", " " * 10, "ZZ", "SENDER".ljust(15), "ZZ", "RECEIVER".ljust(15),
        "261123", "0815", marks.repetition, "00501", control, "0", "T", marks.component,
    ]  # fmt: skip
    return marks.element.join(parts) + marks.segment


def ids(data: bytes) -> list[str]:
    return [segment.id for segment in read_segments(data)]


marks = st.lists(st.sampled_from("*|^~:>!<+\x1c\x1d\x1e\x1f@#%\n"), min_size=4, max_size=4, unique=True).filter(
    # A line end can only be the terminator: inside of segments it is a wrapped line.
    lambda m: "\n" not in (m[0], m[1], m[3])
)
plain = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .-", max_size=12).map(str.strip)


@given(marks, st.lists(st.lists(plain, min_size=1, max_size=6), max_size=6))
def test_every_choice_of_delimiters_reads_back_what_was_joined_with_it(
    chosen: list[str], rows: list[list[str]]
) -> None:
    delimiters = Delimiters(*chosen)
    text = isa(delimiters) + "".join(delimiters.element.join(["ZZZ", *row]) + delimiters.segment for row in rows)
    header, *read = read_segments(text.encode("latin-1"))
    assert header.delimiters == delimiters
    assert [[s[n] for n in range(1, len(s) + 1)] for s in read] == rows


@given(st.integers(1, 400), st.sampled_from(["", "\n", "\r\n", " \r\n"]))
def test_chunks_and_line_ends_make_no_difference(size: int, line_end: str) -> None:
    text = (isa() + "GS*FA*A*B~" + isa(Delimiters("|", ">", "\x1e", "!")) + "GS|FA|A|C>D\x1e").replace(
        "~", "~" + line_end
    )
    whole = text.encode("latin-1")
    chunks = [whole[n : n + size] for n in range(0, len(whole), size)]
    assert list(read_segments(chunks)) == list(read_segments(whole))
    assert ids(whole) == ["ISA", "GS", "ISA", "GS"]


def test_each_interchange_of_a_file_may_choose_its_own_delimiters() -> None:
    text = isa() + "ST*835*0001~" + isa(Delimiters("|", ">", "\n", "!"), "000000102") + "ST|999|A>B!C\n"
    *_, last = read_segments(text.encode())
    assert (last[1], last.component(2, 2), last.repetitions(2)) == ("999", "B!C", ("A>B", "C"))
    assert last.control == "000000102"
    assert last.place == "ISA 000000102, segment 1 ST"


def test_a_byte_order_mark_and_leading_blanks_are_passed_over() -> None:
    assert ids(b"\xef\xbb\xbf \r\n\t" + isa().encode() + b"GS*FA~\x1a") == ["ISA", "GS"]


def test_a_terminator_that_stands_at_the_next_lines_start_is_found() -> None:
    text = isa(Delimiters("|", "^", "\n", "U")) + "~GS|HP|A\n~ST|835\n~"
    header, group, transaction = read_segments(text.encode())
    assert header.delimiters == Delimiters("|", "^", "~", "")
    assert (group.text, transaction.text) == ("GS|HP|A", "ST|835")


def test_lines_wrapped_inside_of_segments_are_joined() -> None:
    assert [s.text for s in read_segments((isa() + "REF*EA*ABC\r\nDEF~").encode())][1] == "REF*EA*ABCDEF"


def test_an_isa_with_trimmed_elements_is_read() -> None:
    text = "ISA*00* *00* *30*A*30*B*030813*1505*U*00401*000000007*1*P*:~TA1*000000100~"
    header, ta1 = read_segments(text.encode())
    assert header.delimiters == Delimiters("*", ":", "~", "")
    assert ta1[1] == "000000100"


def test_elements_and_components_that_are_absent_are_empty() -> None:
    segment = Segment(("SVC", "HC:99213::25", " 1 "), Delimiters(), "1", 1, 1)
    assert (segment[2], segment[9], segment.component(1, 3), segment.component(1, 4), segment.component(7, 1)) == (
        "1", "", "", "25", "",
    )  # fmt: skip


def test_positions_count_from_the_st_and_ordinals_from_the_file() -> None:
    read = list(read_segments((isa() + "GS*HP~ST*835*1~BPR*I~SE*3*1~GE*1~").encode()))
    assert [(s.ordinal, s.position) for s in read] == [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3), (6, 0)]


@pytest.mark.parametrize(
    "data",
    [b"ST*835*0001~", b"ISA", b"ISA*00*", b"ISAISAISA", isa().encode()[:104], isa().replace(":~", "A*").encode()],
)
def test_what_does_not_begin_with_a_whole_isa_is_refused(data: bytes) -> None:
    with pytest.raises(NotAnInterchangeError):
        list(read_segments(data))


def test_a_segment_without_end_is_refused_and_not_collected() -> None:
    endless = (b"A" * 65536 for _ in range(10**9))
    with pytest.raises(BrokenSegmentError):
        list(read_segments(chunk for part in ([isa().encode()], endless) for chunk in part))


def test_reading_goes_on_at_any_segment_as_if_it_had_never_stopped(samples) -> None:
    data = b"\xef\xbb\xbf" + samples["835"].replace(b"~", b"~\r\n") + samples["835"].replace(b"*", b"|")
    whole = list(read_segments(data))
    for number, segment in enumerate(whole):
        at = segment.cursor
        assert list(read_segments(iter([data[at.offset : at.offset + 7], data[at.offset + 7 :]]), at)) == whole[number:]
