"""Why a claim says what it says: each value back to the message, the rule or the person that it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from hub.core.money import from_cents, shown
from hub.store.tables import charge, claim_line
from hub.web.queries.claims import ClaimDetail, Event


@dataclass(frozen=True, slots=True)
class Origin:
    """One value of a claim: where it stands in the 837, and what it comes from; *message_id* leads there."""

    value: str
    place: str
    source: str
    path: str = ""
    message_id: int | None = None
    rule: str = ""


def origins(connection: Connection, claim: ClaimDetail, events: Iterable[Event]) -> list[Origin]:
    """The values of *claim* that people ask about, line by line, then what rules and people changed."""
    rows = connection.execute(
        select(
            claim_line, charge.c.code.label("sent_code"), charge.c.modifiers.label("sent_modifiers"),
            charge.c.message_id, charge.c.source_path, charge.c.source_channel, charge.c.performing_npi,
        )
        .join(charge, charge.c.id == claim_line.c.charge_id, isouter=True)
        .where(claim_line.c.claim_id == claim.id)
        .order_by(claim_line.c.ordinal)
    ).all()  # fmt: skip
    amounts = " + ".join(shown(from_cents(row.charge_cents)) for row in rows[:6])
    more = f" and {len(rows) - 6} more" if len(rows) > 6 else ""
    found = [Origin(f"Claim amount {shown(from_cents(claim.total_cents))}", "CLM02", f"the lines: {amounts}{more}")]
    for row in rows:
        said = " ".join(part for part in (row.code, row.modifiers) if part)
        came = " ".join(part for part in (row.sent_code, row.sent_modifiers) if part)
        about = {"path": row.source_path or "", "message_id": row.message_id}
        source = f"the charge of {row.source_channel}" if row.source_channel else "a charge that is gone"
        changed = f"{source}, which said {came}" if came and came != said else source
        found.append(Origin(f"Code {said}", f"2400 line {row.ordinal}, SV101", changed, **about))
        found.append(
            Origin(f"Charge {shown(from_cents(row.charge_cents))}", f"2400 line {row.ordinal}, SV102", source, **about)
        )
    path, message_id = (rows[0].source_path or "", rows[0].message_id) if rows else ("", None)
    if rows and rows[0].performing_npi == claim.rendering_npi:
        provider = Origin("", "", "the charge names the performer", path, message_id)
    else:
        provider = Origin("", "", "the practice's providers")
    place = f"Place of service {claim.place_of_service}"
    found += [
        replace(provider, value=f"Rendering provider {claim.rendering_npi}", place="2310B NM109"),
        Origin(place, "CLM05-1", "the charge, or its department's entry", path, message_id),
        Origin(f"Payer {claim.payer_id}", "2010BB NM109", "the patient's coverage on the day of service"),
        Origin(f"Claim number {claim.control_number}", "CLM01", "made here; the payer sends it back"),
    ]
    return found + list(_changes(events))


def _changes(events: Iterable[Event]) -> list[Origin]:
    found: dict[tuple[str, str], Origin] = {}
    for event in events:
        repairs = event.detail.get("repairs", ()) if event.kind == "edit_result" else ()
        for each in repairs:
            place, rule = str(each.get("place", "")), str(each.get("rule", ""))
            value = f"{each.get('after') or 'nothing'}, was {each.get('before') or 'nothing'}"
            found[place, rule] = Origin(value, place, "a rule set it", rule=rule)
        if event.kind == "note" and event.detail.get("field"):
            field, rule = str(event.detail["field"]), str(event.detail.get("rule", ""))
            line = event.detail.get("line")
            place = f"{field.replace('_', ' ')}{f', line {line}' if line else ''}"
            value = f"{event.detail.get('after') or 'nothing'}, was {event.detail.get('before') or 'nothing'}"
            found[place, rule] = Origin(value, place, f"{event.actor} decided it", rule=rule)
    return list(found.values())
