"""Patients by the numbers that their sources give them, and what insures them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from hub.billing.decision import Decision
from hub.billing.patient_paid import added_up
from hub.billing.values import Coverage, Name, Patient, Visit
from hub.core.codec import from_plain, to_plain
from hub.core.vault import Vault
from hub.store.changes import Row

KEPT = ("documents", "payments")
"""What a visit's body keeps beside what its source said last of the visit itself."""


def alias_digest(vault: Vault, authority: str, mrn: str) -> bytes:
    """The blind index of a medical record number, which is unique within its authority only."""
    return vault.digest("mrn", f"{authority}|{mrn}")


def find(decision: Decision, authority: str, mrn: str) -> Row | None:
    """The patient that this number means today, after every merge."""
    alias = decision.row("patient_alias", digest=alias_digest(decision.vault, authority, mrn))
    return None if alias is None else surviving(decision, alias["patient_id"])


def surviving(decision: Decision, patient_id: int) -> Row:
    """The patient that *patient_id* was merged into, or itself."""
    row = decision.row("patient", id=patient_id)
    assert row is not None
    while row["merged_into"] is not None:
        row = decision.row("patient", id=row["merged_into"])
        assert row is not None
    return row


def person(decision: Decision, row: Row) -> Patient:
    """What the patient's newest snapshot says of them."""
    return from_plain(Patient, decision.unseal("patient", row["body"])["patient"])


def visit_said(decision: Decision, row: Row, of: Patient) -> Visit:
    """What the source said last of the visit of *row*, whose patient is *of*."""
    body = decision.unseal("visit", row["body"])
    own = {name: value for name, value in body.items() if name not in {"message_id", *KEPT}}
    return added_up(from_plain(Visit, {**own, "patient": to_plain(of)}), body.get("payments", {}))


def register(decision: Decision, said: Patient, as_of: str) -> tuple[Row, bool]:
    """The row of the patient *said*, made or brought up to date, and whether this snapshot is the newest.

    A snapshot that is older than the one applied changes nothing, and neither does one under a retired number.
    """
    digest = alias_digest(decision.vault, said.authority, said.mrn)
    alias = decision.row("patient_alias", digest=digest)
    if alias is None:
        row = _insert(decision, said, as_of)
        decision.insert("patient_alias", digest=digest, patient_id=row["id"])
        return row, True
    row = surviving(decision, alias["patient_id"])
    if alias["retired"] or as_of < row["as_of"]:
        return row, False
    if said != person(decision, row):
        decision.update(
            "patient",
            row,
            as_of=as_of,
            name_digest=_name_digest(decision.vault, said.name),
            updated_at=decision.real_ms,
            body=_sealed(decision, said),
        )
    elif as_of != row["as_of"]:
        decision.update("patient", row, as_of=as_of)
    return row, True


def expect(decision: Decision, authority: str, mrn: str) -> Row:
    """The patient with this number, or a place kept for one of whom no more is known yet (not even a number)."""
    said = Patient(mrn=mrn, authority=authority, name=Name(family=""))
    if mrn:
        return find(decision, authority, mrn) or register(decision, said, "")[0]
    return _insert(decision, said, "")


def moment(decision: Decision, text: str) -> str:
    """A source's own time in a form whose order as text is the order in time; empty, the least, for what is none."""
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        return ""
    if said.tzinfo is None:
        said = said.replace(tzinfo=ZoneInfo(decision.config.practice.time_zone))
    return said.astimezone(ZoneInfo("UTC")).isoformat(timespec="milliseconds")[:23]


def cover(decision: Decision, patient: Row, coverages: tuple[Coverage, ...]) -> bool:
    """Make *coverages* the whole list of what insures *patient*. True when that changed anything."""
    active = decision.rows("coverage", patient_id=patient["id"], active=True)
    wanted = list(coverages)
    kept = 0
    for row in active:
        known = from_plain(Coverage, decision.unseal("coverage", row["body"]))
        if known in wanted:
            wanted.remove(known)
            kept += 1
        else:
            decision.update("coverage", row, active=False)
    for coverage in wanted:
        decision.insert(
            "coverage",
            id=decision.ids.next(),
            patient_id=patient["id"],
            priority=coverage.priority,
            payer_id=coverage.payer_id[:32],
            member_digest=decision.vault.digest("member", coverage.member_id),
            active=True,
            effective_on=coverage.effective.isoformat() if coverage.effective else "",
            expires_on=coverage.expires.isoformat() if coverage.expires else "",
            body=decision.seal("coverage", to_plain(coverage)),
        )
    return bool(wanted) or kept < len(active)


def primary(decision: Decision, patient: Row, day: str) -> Coverage | None:
    """The first of the coverages that *patient* has on *day*."""
    rows = in_force(decision, patient, day)
    return from_plain(Coverage, decision.unseal("coverage", rows[0]["body"])) if rows else None


def in_force(decision: Decision, patient: Row, day: str) -> list[Row]:
    """The rows of the coverages that *patient* has on *day*, in the order in which they pay."""
    rows = [
        row
        for row in decision.rows("coverage", patient_id=patient["id"], active=True)
        if row["effective_on"] <= day and (not row["expires_on"] or day <= row["expires_on"])
    ]
    return sorted(rows, key=lambda row: (row["priority"], row["id"]))


def _insert(decision: Decision, said: Patient, as_of: str) -> Row:
    return decision.insert(
        "patient",
        id=decision.ids.next(),
        **decision.owner(),
        as_of=as_of,
        name_digest=_name_digest(decision.vault, said.name),
        updated_at=decision.real_ms,
        body=_sealed(decision, said),
    )


def _sealed(decision: Decision, said: Patient) -> bytes:
    """The patient's body: the number by which the EHR knows them, and the snapshot."""
    plain: dict[str, Any] = {"mrn": said.mrn, "authority": said.authority, "patient": to_plain(said)}
    return decision.seal("patient", plain)


def _name_digest(vault: Vault, name: Name) -> bytes | None:
    return vault.digest("name", f"{name.family} {name.given}") if name.family else None
