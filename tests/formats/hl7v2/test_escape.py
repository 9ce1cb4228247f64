from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.formats.hl7v2.escape import DEFAULT, Delimiters, EscapeError, escape, unescape

punctuation = "".join(c for c in string.punctuation)
delimiters = st.permutations(punctuation).map(lambda chosen: Delimiters(*chosen[:5])) | st.permutations(
    punctuation
).map(lambda chosen: Delimiters(*chosen[:6]))


@given(st.text(), delimiters)
def test_text_survives_escaping_whatever_the_delimiters(text: str, chosen: Delimiters) -> None:
    assert unescape(escape(text, chosen), chosen) == text


@given(st.text(), delimiters)
def test_escaped_text_holds_no_separator_and_no_line_end(text: str, chosen: Delimiters) -> None:
    separators = {
        chosen.field,
        chosen.component,
        chosen.repetition,
        chosen.subcomponent,
        "\r",
        "\n",
        "\x0b",
        "\x1c",
    }
    assert not separators & set(escape(text, chosen))


@pytest.mark.parametrize(
    ("wire", "text"),
    {
        r"Smith \T\ Sons": "Smith & Sons",
        r"a\F\b\S\c\R\d\E\e": "a|b^c~d\\e",
        r"one\.br\two": "one\ntwo",
        r"\X41\\x0D\\XC3A9\\XE9\ ": "A\réé ",
        r"\H\loud\N\ quiet": "loud quiet",
        r"\Zlocal\ stays, so does \.sp3\ ": r"\Zlocal\ stays, so does \.sp3\ ",
        r"\XF\ \Q\ ": r"\XF\ \Q\ ",
        r"C:\temp\F\x": r"C:\temp|x",
        "\\": "\\",
    }.items(),
)
def test_sequences_decode_and_unknown_ones_stay(wire: str, text: str) -> None:
    assert unescape(wire) == text


def test_the_truncation_character_has_a_sequence_of_its_own() -> None:
    chosen = Delimiters(truncation="#")
    assert escape("a#b", chosen) == "a\\P\\b"
    assert escape("a#b", DEFAULT) == "a#b"


def test_without_an_escape_character_only_plain_text_can_be_written() -> None:
    bare = Delimiters(escape="", subcomponent="")
    assert escape("plain & simple", bare) == "plain & simple"
    assert unescape(r"a\T\b", bare) == r"a\T\b"
    with pytest.raises(EscapeError):
        escape("a|b", bare)
