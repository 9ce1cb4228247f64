r"""Delimiters and escape sequences (HL7 v2.5.1 chapter 2, sections 2.5.4 and 2.7).

Text that contains a delimiter travels as an escape sequence: ``\F\`` field, ``\S\`` component, ``\R\``
repetition, ``\T\`` sub-component, ``\E\`` escape character, ``\P\`` truncation character (2.7), ``\Xhh..\``
bytes, ``\.br\`` a line break.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from hub.core.errors import HubError


class EscapeError(HubError):
    """A text needs an escape sequence and the delimiters in use have no escape character."""

    code = "H228"


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The separators of one message, as its MSH-1 and MSH-2 declare them.

    One that is not declared is ``""``.
    """

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""

    @property
    def encoding_characters(self) -> str:
        """MSH-2 as it is written."""
        return self.component + self.repetition + self.escape + self.subcomponent + self.truncation


DEFAULT = Delimiters()


def escape(text: str, delimiters: Delimiters = DEFAULT) -> str:
    r"""*text* as it may stand inside a field.

    Delimiters, line breaks and control characters become escape sequences, in such a way that
    ``unescape(escape(text)) == text``. Raises :class:`EscapeError` when a sequence is needed and *delimiters*
    have no escape character.
    """
    pattern, sequences = _to_escape(delimiters)
    if not pattern.search(text):
        return text
    if not delimiters.escape:
        raise EscapeError(
            "This text contains a delimiter and the message declares no escape character.",
            where="MSH-2",
            expected="an escape character in MSH-2",
        )
    return pattern.sub(lambda match: sequences[match[0]], text)


def unescape(text: str, delimiters: Delimiters = DEFAULT) -> str:
    r"""*text* with its escape sequences decoded.

    Highlighting (``\H\``, ``\N\``) is dropped, unknown sequences stay as they are.
    """
    mark = delimiters.escape
    if not mark or mark not in text:
        return text
    pattern, meanings = _to_unescape(delimiters)

    def meaning(match: re.Match[str]) -> str:
        body = match[1]
        if body[0] in "Xx":
            return _from_hex(body[1:])
        return meanings.get(body.lower() if body[0] == "." else body, match[0])

    return pattern.sub(meaning, text)


@lru_cache(maxsize=64)
def _to_escape(delimiters: Delimiters) -> tuple[re.Pattern[str], dict[str, str]]:
    mark = delimiters.escape
    sequences = {chr(code): f"{mark}X{code:02X}{mark}" for code in (*range(32), 127)}
    characters = _letters(delimiters)
    if "." not in characters.values():
        sequences["\n"] = f"{mark}.br{mark}"
    sequences |= {character: f"{mark}{letter}{mark}" for letter, character in characters.items()}
    return re.compile("[" + "".join(re.escape(character) for character in sequences) + "]"), sequences


@lru_cache(maxsize=64)
def _to_unescape(delimiters: Delimiters) -> tuple[re.Pattern[str], dict[str, str]]:
    mark = re.escape(delimiters.escape)
    # Only well-formed sequences match, so that a stray escape character ("C:\temp") does not swallow what
    # follows it.
    sign = "".join(re.escape(character) for character in "+-" if character != delimiters.escape)
    body = rf"[FSRTEPHN]|[Xx](?:[0-9A-Fa-f]{{2}})+|\.[A-Za-z]{{2}}[{sign}]?\d*|Z[^{mark}]*|[CM][0-9A-Fa-f]{{4,6}}"
    meanings = _letters(delimiters) | {"H": "", "N": "", ".br": "\n"}
    return re.compile(f"{mark}({body}){mark}"), meanings


def _letters(delimiters: Delimiters) -> dict[str, str]:
    pairs = {
        "F": delimiters.field,
        "S": delimiters.component,
        "R": delimiters.repetition,
        "T": delimiters.subcomponent,
        "E": delimiters.escape,
        "P": delimiters.truncation,
    }
    return {letter: character for letter, character in pairs.items() if character}


def _from_hex(digits: str) -> str:
    data = bytes.fromhex(digits)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
