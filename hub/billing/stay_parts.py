"""The parts in which a long stay is billed while it goes on, and what a bill of one of them says.

The first bill has frequency 2, those after it 3, the last 4 (005010X223A2 CLM05-3); on all but the last the patient is
still there (CL103 30).
"""

from __future__ import annotations

import calendar
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from hub.formats.x12.claim import STILL_A_PATIENT, Claim, Institutional, Occurrence, ValueCode
from hub.formats.x12.frequency import CONTINUING, FIRST, GOING_ON, LAST, LATE, OF_A_PART, WHOLE

Length = int | Literal["month"]
Period = tuple[date, date]

_COVERED_DAYS = "80"
_OTHER_DAYS = ("81", "82", "83")  # not covered, co-insurance, lifetime reserve: on which days they fell nobody says
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Part:
    """One bill of a stay: its first and last day, and its frequency."""

    since: date
    until: date
    frequency: str

    @property
    def goes_on(self) -> bool:
        """Whether the patient is still there at its end."""
        return self.frequency in GOING_ON

    def overlaps(self, said: Institutional | None) -> bool:
        """Whether a hospital's claim is for days of it."""
        return said is not None and said.statement_from <= self.until and self.since <= said.statement_to


def parts(
    begin: date, end: date, length: Length | None, billed: Collection[Period], *, is_over: bool, nights: bool
) -> list[Part]:
    """The parts of a stay from *begin* to *end*, without a gap; one that is over and fits into one is that whole.

    *length* is how many days, or the calendar month, that a bill may be for; None: whatever is left. *billed* are the
    days of earlier bills, which stay as they are. The last part of a stay that is not over lasts longer than *end*.
    Where *nights* are billed the day of discharge is none of a part's days, and goes with the night before.
    """
    periods: list[Period] = []
    since = begin
    while since <= end or not periods:
        until = next((until for first, until in billed if first <= since <= until), None)
        if until is None:
            starts = [first - _DAY for first, _ in billed if first > since]
            until = min([_full(since, length, end), *starts])
            if is_over and nights and not starts and until + _DAY == end:
                until = end
            until = min(until, end) if is_over else until
        periods.append((since, until))
        since = until + _DAY
    return [Part(*period, _frequency(number, len(periods), is_over)) for number, period in enumerate(periods, 1)]


def _full(since: date, length: Length | None, end: date) -> date:
    if length is None:
        return max(since, end)
    if length == "month":
        return since.replace(day=calendar.monthrange(since.year, since.month)[1])
    return since + (length - 1) * _DAY


def _frequency(number: int, count: int, is_over: bool) -> str:
    is_last = is_over and number == count
    if number == 1:
        return WHOLE if is_last else FIRST
    return LAST if is_last else CONTINUING


def part_of(claim: Claim, frequency: str) -> Part | None:
    """The part that *claim*, billed first with *frequency*, is for; None for a whole stay or a professional claim."""
    said = claim.institutional
    if said is None or frequency not in (*OF_A_PART, LATE):
        return None
    return Part(said.statement_from, said.statement_to, frequency)


def narrowed(said: Institutional, part: Part, admitted: date | None) -> Institutional:
    """*said*, which is about a whole stay and the charges of *part*, as the bill of that part says it.

    Only what was done, or had begun, in its days stands on it. Covered days are counted anew unless other kinds of days
    are told, too: those the source alone can part, and until it does an edit stops the bill.
    """
    is_first, is_last = part.frequency in {WHOLE, FIRST}, not part.goes_on
    since = min(part.since, said.statement_from) if is_first else part.since
    until = max(part.until, said.statement_to) if is_last else part.until
    made = replace(
        said,
        statement_from=since,
        statement_to=until,
        patient_status=said.patient_status if is_last else STILL_A_PATIENT,
        discharge_time=said.discharge_time if is_last else "",
        procedures=tuple(
            each for each in said.procedures if (is_first or since <= each.on) and (is_last or each.on <= until)
        ),
        occurrences=tuple(each for each in said.occurrences if _is_of(each, since, until, admitted or since)),
    )
    if part.frequency == LATE:  # the bill that these charges came late to has counted the days
        return replace(
            made, values=tuple(each for each in made.values if each.code not in (_COVERED_DAYS, *_OTHER_DAYS))
        )
    return replace(made, values=_values(made))


def _is_of(each: Occurrence, since: date, until: date, admitted: date) -> bool:
    """Whether it had begun by the bill's end; a span within the stay is told until it is over."""
    is_past = each.until is not None and admitted <= each.on and each.until < since
    return each.on <= until and not is_past


def _values(said: Institutional) -> tuple[ValueCode, ...]:
    if any(each.code in _OTHER_DAYS and each.amount for each in said.values):
        return said.values
    days = Decimal(said.days)
    return tuple(replace(each, amount=days) if each.code == _COVERED_DAYS else each for each in said.values)
