"""What of a file's head and its parties a page marks as not to be shown."""

from __future__ import annotations

from hub.web.content import raw_view

PLAIN = "ISA*00*          *00*          *ZZ*ALDERST01      *ZZ*CLEARWAY01     *261110*0931*^*00501*000000009*1*T*:~"
GUARDED = PLAIN.replace("*00*          *00*          *", "*03*SITE7     *01*OPEN2026  *")
REST = "GS*HC*ALDERST01*CLEARWAY01*20261110*0931*9*X*005010X222A1~GE*0*9~IEA*1*000000009~"


def marked(head: str) -> list[tuple[str, str]]:
    view = raw_view((head + REST).encode())
    return [(piece.what, piece.text.strip()) for line in view.lines for piece in line if piece.what]


def test_what_partners_let_us_in_by_is_masked() -> None:
    assert marked(GUARDED) == [("ISA02", "SITE7"), ("ISA04", "OPEN2026")]


def test_a_head_without_passwords_has_nothing_to_mask() -> None:
    assert marked(PLAIN) == []
