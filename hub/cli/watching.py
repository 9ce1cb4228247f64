"""``hub try --watch``: the preview again whenever a file of the mapping or the message is saved."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hub.core.errors import HubError

LOOK_SECONDS = 0.3
_CLEAR = "\x1b[2J\x1b[H"


@dataclass(frozen=True, slots=True)
class Key:
    """What a single key does, and how that is called."""

    name: str
    act: Callable[[], None]


def watch(files: Callable[[], list[Path]], show: Callable[[], None], keys: dict[str, Key]) -> None:
    """Call *show* now and whenever one of *files* changes, until Ctrl-C or ``q``. *keys* are what single keys do.

    What *show* raises as a `HubError` is printed: a script that is half typed must not end the watching.
    """
    stamp: dict[Path, int] = {}
    with _single_keys():
        while True:
            now = _stamp(files())
            if now != stamp:
                stamp = now
                _show_again(show, len(now), keys)
            key = _key()
            if key == "q":
                return
            if key in keys:
                keys[key].act()
                _show_again(show, len(stamp), keys)


def _show_again(show: Callable[[], None], number: int, keys: dict[str, Key]) -> None:
    if sys.stdout.isatty():
        print(_CLEAR, end="")
    else:
        print("-" * 40)
    try:
        show()
    except HubError as error:
        print(error)
    told = "".join(f"; {key} {each.name}" for key, each in keys.items())
    print(f"watching {number} files{told}; q quit", flush=True)


def _stamp(files: list[Path]) -> dict[Path, int]:
    found = {}
    for file in files:
        try:
            found[file] = file.stat().st_mtime_ns
        except FileNotFoundError:
            found[file] = 0
    return found


def _key() -> str:
    """The key that was pressed meanwhile, after a short wait; empty for none."""
    if not sys.stdin.isatty():
        time.sleep(LOOK_SECONDS)
        return ""
    ready, _, _ = select.select([sys.stdin], [], [], LOOK_SECONDS)
    return os.read(sys.stdin.fileno(), 1).decode(errors="replace") if ready else ""


@contextmanager
def _single_keys() -> Iterator[None]:
    """Have a terminal give each key at once, and as it was afterwards."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
