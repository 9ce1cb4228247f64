"""What `strace` saw of a process: which bytes came, were written, were brought to the disk, and went."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

CALLS = ("recvfrom", "sendto", "pwrite64", "pwritev", "fdatasync", "fsync")
_LINE = re.compile(r"(?P<thread>\d+) +(?P<at>\d+\.\d+) (?P<rest>.*)")
_RESUMED = re.compile(r"<\.\.\. (?P<call>\w+) resumed>")
_TOOK = re.compile(r"<(\d+\.\d+)>$")


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that ended well: its name and arguments, and when it began and ended."""

    name: str
    text: str
    began: float
    ended: float


def calls(file: Path) -> list[Call]:
    """The calls in the output of ``strace -f -ttt -T -y``, by their ends."""
    begun: dict[str, tuple[float, str]] = {}
    found: list[Call] = []
    for line in file.read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        thread, at, rest = match["thread"], float(match["at"]), match["rest"]
        if rest.endswith("<unfinished ...>"):
            begun[thread] = (at, rest.removesuffix("<unfinished ...>"))
            continue
        began, text, ended = at, rest, at
        if resumed := _RESUMED.match(rest):
            began, head = begun.pop(thread, (at, resumed["call"] + "("))
            text = head + rest[resumed.end() :]
        elif took := _TOOK.search(rest):
            ended = at + float(took[1])
        if not re.search(r" = -1 ", text):
            found.append(Call(text.partition("(")[0], text, began, ended))
    return sorted(found, key=lambda call: call.ended)


def unsynced(seen: Sequence[Call], names: Iterable[str]) -> list[str]:
    """Those of the messages *names* whose acknowledgement went before a sync of the log that held them.

    Between the receipt of a message and its answer the log must be written and then synced, and nothing that was
    written to it before that sync began may be left out.
    """
    log = [call for call in seen if ".db-wal>" in call.text]
    written = [call for call in log if call.name.startswith("pwrite")]
    synced = [call for call in log if call.name in {"fdatasync", "fsync"}]
    wrong = []
    for name in names:
        came = next(call for call in seen if call.name == "recvfrom" and f"|{name}|" in call.text)
        went = next(call for call in seen if call.name == "sendto" and f"MSA|AA|{name}" in call.text)
        mine = [call for call in written if call.began >= came.began and call.ended <= went.began]
        if not any(mine[0].ended <= sync.began and sync.ended <= went.began for sync in synced if mine):
            wrong.append(name)
    return wrong
