"""When a partner works: its business days, its cut-offs, and until when an answer may take.

Weekends and the days that a partner's file names are no business days. Cut-offs are times of the practice's zone.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from hub.billing.config import Partner
from hub.billing.decision import Decision
from hub.core.clock import at

_SATURDAY = 5
_DAY = timedelta(days=1)


def is_open(partner: Partner, day: date) -> bool:
    """Whether *day* is a business day of the partner."""
    return day.weekday() < _SATURDAY and day not in partner.closed_on


def answer_due(decision: Decision, partner: Partner, start_ms: int, business_days: int) -> int:
    """The instant, *business_days* after *start_ms*, by which an answer is late; in milliseconds.

    A day that is no business day counts for nothing, so that what is sent on Saturday counts from Monday.
    """
    moment = at(start_ms, decision.clock.zone)
    left = business_days
    if not is_open(partner, moment.date()):
        moment = datetime.combine(moment.date(), time(23, 59, 59), moment.tzinfo)
    while left:
        moment += _DAY
        left -= is_open(partner, moment.date())
    return _ms(moment)


def next_batch(decision: Decision, partner: Partner, now_ms: int) -> int:
    """When the next batch for *partner* is made, in milliseconds.

    Without cut-offs that is after ``batch_every``; with them shortly before the next one. On days that are no business
    days nothing is made where ``every_day`` is off.
    """
    now = at(now_ms, decision.clock.zone)
    if not partner.cut_offs:
        wanted = at(now_ms + max(1, int(partner.batch_every * 1000)), decision.clock.zone)
        if not partner.every_day and not is_open(partner, wanted.date()):
            wanted = datetime.combine(_open_from(partner, wanted.date()), time(), wanted.tzinfo)
        return _ms(wanted)
    lead = timedelta(seconds=partner.cut_off_lead)
    day = now.date()
    while True:
        if partner.every_day or is_open(partner, day):
            for cut_off in sorted(partner.cut_offs):
                moment = datetime.combine(day, time.fromisoformat(cut_off), now.tzinfo) - lead
                if moment > now:
                    return _ms(moment)
        day += _DAY


def _open_from(partner: Partner, day: date) -> date:
    while not is_open(partner, day):
        day += _DAY
    return day


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
