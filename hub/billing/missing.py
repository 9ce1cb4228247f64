"""What was done and is not charged: visits kept without a charge, appointments without a visit, procedures documented.

Once a day the hub looks at the visits of the last month whose time for charges is over. What it finds stands in the
queue *missing charges*; when the charge comes after all, the item is closed by the next look.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import chain
from typing import Any

from sqlalchemy import select

from hub.billing import patients
from hub.billing.decision import Decision
from hub.core.clock import DAY_MS, at
from hub.store.changes import Row
from hub.store.tables import appointment, charge, visit

QUEUE = "missing charges"
WINDOW = timedelta(days=31)
NO_CHARGE = "no charge"


def first_sweep() -> Row:
    """The row of `due` that must exist when the engine starts, without its id."""
    return {
        "due_key": "missing charges",
        "kind": "missing charges",
        "business_at": 0,
        "subject_id": None,
        "subject": "",
        "done": False,
    }


def sweep(decision: Decision, due: Row) -> None:
    """Look for what is not charged, and look again tomorrow."""
    today = date.fromisoformat(decision.today)
    last = today - timedelta(seconds=decision.config.policy.missing_charge_after)
    first = (last - WINDOW).isoformat()
    _close_what_came(decision)
    for key, facts in chain(_visits(decision, first, last.isoformat()), _appointments(decision, last)):
        if decision.full:
            decision.update("due", due, business_at=decision.now_ms + 1)  # the next decision goes on
            return
        if decision.row("work_item", item_key=key) is None:
            decision.open_item(queue=QUEUE, key=key, **facts)
    decision.update("due", due, business_at=decision.now_ms + DAY_MS)


def _close_what_came(decision: Decision) -> None:
    for item in decision.rows("work_item", queue=QUEUE, state="open"):
        if decision.full:
            return
        what, _, subject = item["item_key"].partition("/")
        number, _, code = subject.partition("/")
        if what == "visit":
            if resolution := _what_came(decision, int(number), code):
                decision.close_item(item["item_key"], resolution)
        elif _was_seen(decision, decision.row("appointment", id=int(number))):
            decision.close_item(item["item_key"], "visit since")


def _what_came(decision: Decision, visit_id: int, code: str) -> str:
    """Why the visit does not lack the charge of *code* (``no charge``: any) any more; empty when it does."""
    row = decision.row("visit", id=visit_id)
    if row is None or row["state"] != "open":
        return "visit cancelled"
    charged = _codes(decision, visit_id)
    if code in charged or (charged and code == NO_CHARGE):
        return "charged since"
    documented = code == NO_CHARGE or code in decision.unseal("visit", row["body"]).get("procedures", ())
    return "" if documented else "not documented any more"


def _visits(decision: Decision, first: str, last: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what lacks of the visits between two days: any charge, or that of a documented procedure."""
    rows = decision.connection.execute(
        select(visit.c.id, visit.c.patient_id, visit.c.visit_on, visit.c.department, visit.c.body)
        .where(visit.c.state == "open", visit.c.visit_on.between(first, last))
        .order_by(visit.c.visit_on, visit.c.id)
    ).all()
    for row in rows:
        codes = _codes(decision, row.id)
        where = f" ({row.department})" if row.department else ""
        if not codes:
            sentence = f"A visit of {row.visit_on}{where} was kept and nothing was charged for it."
            yield f"visit/{row.id}/{NO_CHARGE}", _facts(row.patient_id, "visit without charge", sentence)
            continue
        for code in dict.fromkeys(decision.unseal("visit", row.body).get("procedures", ())):
            if code and code not in codes:
                sentence = f"{code} is documented for the visit of {row.visit_on}{where} and was not charged."
                yield f"visit/{row.id}/{code}", _facts(row.patient_id, "procedure without charge", sentence)


def _appointments(decision: Decision, last: date) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the bookings that were neither cancelled nor missed, and that no visit of their day belongs to."""
    start, end = (decision.clock.midnight_ms(day) for day in (last - WINDOW, last + timedelta(days=1)))
    ids = decision.connection.execute(
        select(appointment.c.id).where(
            appointment.c.state == "booked",
            appointment.c.patient_id.is_not(None),
            appointment.c.starts_at >= start,
            appointment.c.starts_at < end,
        )
    ).scalars()
    for row in decision.rows("appointment", id=tuple(ids), order_by="id"):
        if not _was_seen(decision, row):
            day = at(row["starts_at"], decision.clock.zone).date().isoformat()
            sentence = f"An appointment of {day} was neither cancelled nor missed, and no visit was registered."
            yield f"appointment/{row['id']}", _facts(row["patient_id"], "appointment without visit", sentence)


def _was_seen(decision: Decision, row: Row | None) -> bool:
    """Whether the appointment's patient has a visit on its day, or it was taken back."""
    if row is None or row["state"] != "booked" or row["patient_id"] is None:
        return True
    day = at(row["starts_at"], decision.clock.zone).date().isoformat()
    patient = patients.surviving(decision, row["patient_id"])
    return any(each["visit_on"] == day for each in decision.rows("visit", patient_id=patient["id"], state="open"))


def _codes(decision: Decision, visit_id: int) -> set[str]:
    found = decision.connection.execute(
        select(charge.c.code).where(charge.c.visit_id == visit_id, charge.c.state != "void")
    )
    return {str(code) for (code,) in found}


def _facts(patient_id: int, kind: str, sentence: str) -> dict[str, Any]:
    return {"kind": kind, "sentence": sentence, "patient_id": patient_id}
