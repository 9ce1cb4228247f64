"""Which version of the site's files runs, and what on disk differs from it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from hub.site.bundle import read_bundle
from hub.web.settings import WebSettings

_CONTEXT = 1


@dataclass(frozen=True, slots=True)
class Deployed:
    """The running version; the files that differ on disk, each with how; and one file's difference, line by line.

    A line is its number (of the running file, or of the new one where it was added), a sign (``-``, ``+`` or a space),
    and its text.
    """

    version: str
    changed: tuple[tuple[str, str], ...]
    file: str = ""
    lines: tuple[tuple[int, str, str], ...] = ()


def deployed(settings: WebSettings, file: str = "") -> Deployed:
    """How the files on disk differ from those that run, with the lines of *file*."""
    if settings.folder is None:
        return Deployed(settings.bundle, ())
    then, now = settings.files, read_bundle(settings.folder).files
    words = [
        (name, "added" if name not in then else "removed" if name not in now else "changed")
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
    lines: list[tuple[int, str, str]] = []
    if file in dict(words):
        old, new = (files.get(file, b"").decode("utf-8", "replace").splitlines() for files in (then, now))
        lines = list(_lines(old, new))
    return Deployed(settings.bundle, tuple(words), file, tuple(lines))


def _lines(old: list[str], new: list[str]) -> list[tuple[int, str, str]]:
    made = []
    for group in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_grouped_opcodes(_CONTEXT):
        for act, a, b, c, d in group:
            if act == "equal":
                made += [(number + 1, " ", old[number]) for number in range(a, b)]
            else:
                made += [(number + 1, "-", old[number]) for number in range(a, b)]
                made += [(number + 1, "+", new[number]) for number in range(c, d)]
    return made
