"""A stored message as a sample: the same shape, other people.

What names, reaches or identifies a person is replaced, the same text by the same text within one message, so that what
belonged together still does. Dates of a person's life move by one number of days. What is replaced is decided by place
(:mod:`hub.web.masking`), never by looking at the text.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import secrets
import string
from collections.abc import Iterable

_WORD = re.compile(r"[A-Za-z]+|\d+")
_DATE = re.compile(r"(?:19|20)\d{6}")
_NAMES = (
    "ABLE", "BAKER", "CARVER", "DYER", "ELDER", "FARMER", "GROVER", "HOLDER", "IVERS", "JASPER", "KELLER", "LOWER",
    "MARLOW", "NORTHER", "OVERTON", "PORTER", "QUILLER", "RIVERS", "SUMMER", "TANNER", "UPTON", "VESPER", "WINTER",
    "YATES",
)  # fmt: skip
_KEPT = 2
"""Words so short are codes (``MR``, ``USA``'s parts, a sex), and part of the shape."""
_MOST_DAYS = 20


class Disguise:
    """Replaces texts, the same by the same."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(16)
        self._days = 1 + self._number("days") % _MOST_DAYS

    def text(self, text: str) -> str:
        """*text* with every word and number of it replaced by another of the same shape."""
        return _WORD.sub(lambda found: self._word(found[0]), text)

    def _word(self, word: str) -> str:
        if _DATE.fullmatch(word[:8]) and len(word) >= 8:
            return self._date(word[:8]) + word[8:]
        if word.isdigit():
            return self._like(word, string.digits)
        if len(word) <= _KEPT:
            return word
        name = _NAMES[self._number(word.upper()) % len(_NAMES)]
        return name if word.isupper() else name.title() if word[0].isupper() else name.lower()

    def _date(self, text: str) -> str:
        try:
            moved = dt.date.fromisoformat(text) - dt.timedelta(days=self._days)
        except ValueError:
            return self._like(text, string.digits)
        return moved.strftime("%Y%m%d")

    def _like(self, text: str, alphabet: str) -> str:
        number = self._number(text)
        made = []
        for _ in text:
            number, digit = divmod(number, len(alphabet))
            made.append(alphabet[digit])
        first = made[0] if made[0] != "0" or text.startswith("0") else "7"
        return "".join([first, *made[1:]])

    def _number(self, text: str) -> int:
        return int.from_bytes(hashlib.blake2b(text.encode(), key=self._key, digest_size=32).digest(), "big")


def disguised(lines: Iterable[Iterable[tuple[str, bool]]], disguise: Disguise) -> list[str]:
    """*lines* of pieces, each a text and whether it is of a person, with the persons' texts replaced."""
    return ["".join(disguise.text(text) if personal else text for text, personal in line) for line in lines]
