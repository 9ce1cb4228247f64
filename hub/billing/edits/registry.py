"""How an edit's function is tied to its row of the table, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hub.billing.edits.context import Context
from hub.billing.edits.table import EDITS
from hub.formats.x12.claim import Claim, ClaimLine


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that a named person may accept: *field* of line *line* (0: of the claim) becomes *value*.

    *field* is a name of :data:`hub.billing.rules.fields.FIELDS`; the value of ``modifiers`` and ``diagnoses`` is the
    whole list, separated by blanks.
    """

    field: str
    value: str
    line: int = 0


def with_modifier(line: ClaimLine, number: int, modifier: str, *, last: bool = False) -> Proposal:
    """The proposal to give line *number* one more modifier, before the others or behind them."""
    said = (*line.modifiers, modifier) if last else (modifier, *line.modifiers)
    return Proposal("modifiers", " ".join(said), number)


@dataclass(frozen=True, slots=True)
class Found:
    """What an edit found at *line* (0: not about one line).

    *sentence* and *severity* are given where they are not those of the table, *at* where the place is not the first
    of them (``2420A NM109``).
    """

    line: int = 0
    severity: str = ""
    sentence: str = ""
    proposal: Proposal | None = None
    at: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A repair of form: *before* and *after* are the whole texts, *place* where they stand."""

    place: str
    before: str
    after: str


Check = Callable[[Claim, Context], Iterator[Found]]
Repair = Callable[[Claim, Context], tuple[Claim, tuple[Change, ...]]]
CHECKS: dict[str, Check] = {}
REPAIRS: dict[str, Repair] = {}


def edit(name: str) -> Callable[[Check], Check]:
    """Make a function the check of the edit *name*."""
    assert name in EDITS, name

    def register(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return register


def repair(name: str) -> Callable[[Repair], Repair]:
    """Make a function the repair of the edit *name*."""
    assert name in EDITS, name

    def register(made: Repair) -> Repair:
        REPAIRS[name] = made
        return made

    return register
