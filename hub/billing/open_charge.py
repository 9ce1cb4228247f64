"""A charge within one decision: its row, what its source said, why it is held, where its amount stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hub.billing import ledger, patients
from hub.billing.decision import Decision
from hub.billing.grouping import Billable
from hub.billing.ledger import PATIENT, PAYER, REVENUE, UNBILLED, Posting
from hub.billing.values import Charge
from hub.core.codec import from_plain, to_plain
from hub.core.money import to_cents
from hub.store.changes import Row

STAY = "stay"
BY_PERSON = "person "
"""Before the name, in the origins of a value that a person corrected."""


def charge_digest(decision: Decision, source: str, transaction: str) -> bytes:
    """The blind index of a charge: its transaction id is unique within the channel that it comes by."""
    return decision.vault.digest("transaction", f"{source}|{transaction}")


@dataclass(slots=True)
class OpenCharge:
    """One charge. Change it through these methods, which keep row, history and ledger together."""

    decision: Decision
    row: Row
    body: dict[str, Any]

    @property
    def said(self) -> Charge:
        """What its source said last."""
        return from_plain(Charge, self.body["charge"])

    @property
    def form(self) -> str:
        """The form that it is billed on, by its department and whether it has a revenue code."""
        said = self.said
        found = self.decision.config.department(said.department)
        bills = found.bills if found else "837P"
        return ("837I" if said.revenue_code else "837P") if bills == "both" else bills

    @property
    def billed_with(self) -> str:
        """With which others it is billed: those of its day, or of the whole stay."""
        return STAY if self.form == "837I" else str(self.row["service_on"])

    @property
    def billable(self) -> Billable:
        """It as far as grouping is concerned."""
        facility = self.decision.config.facility(self.said.department)
        return Billable(
            charge_id=self.id,
            rendering_npi=self.row["performing_npi"],
            place_of_service=self.row["place_of_service"],
            diagnoses=self.said.diagnoses,
            facility=facility.code if facility else "",
        )

    @property
    def id(self) -> int:
        """The row's id."""
        return int(self.row["id"])

    @property
    def held_for(self) -> str:
        """Why it is held, one of the keys of :data:`hub.billing.charges.SENTENCES`; empty when it is not."""
        return str(self.body.get("held_for", ""))

    def is_newer_than(self, said: Charge) -> bool:
        """Whether what is known was said after *said*; never where a source tells no times."""
        return bool(said.as_of) and patients.moment(self.decision, said.as_of) < self.body.get("as_of", "")

    def note_time(self, said: Charge) -> None:
        """Remember when the source said this, whether or not it changes anything."""
        as_of = patients.moment(self.decision, said.as_of)
        if as_of > self.body.get("as_of", ""):
            self.body["as_of"] = as_of
            self.decision.update("charge", self.row, body=self.decision.seal("charge", self.body))

    def change(self, *, held_for: str = "", **values: Any) -> None:
        """Set columns of the row, and why the charge is held."""
        self.body["held_for"] = held_for
        self.decision.update("charge", self.row, **values, body=self.decision.seal("charge", self.body))

    def accept(self) -> None:
        """Enter the amount: it is charged, and not billed yet."""
        self._move("charge", UNBILLED, REVENUE)

    def restate(self, said: Charge) -> None:
        """Take what the source says now; what it said before stays in the history, and the ledger has both."""
        self._move("charge", REVENUE, self._account())
        if self.row["state"] == "self pay":
            self.row["state"] = "open"
        self.body.setdefault("history", []).append(self.body["charge"])
        self.body["charge"] = to_plain(said)
        self.change(held_for=self.held_for, state=self.row["state"], **columns(said))
        self._move("charge", UNBILLED, REVENUE)

    def correct(self, field: str, value: Any) -> None:
        """Have *field* say *value* (plain, as in a message's values) from now on, by the word of who decides."""
        corrected = self.body.setdefault("corrected", {})
        before = corrected[field][0] if field in corrected else self.body["charge"].get(field)
        corrected[field] = [before, value, self.decision.actor]
        self.body.setdefault("history", []).append(self.body["charge"])
        self.body["charge"] = _corrected(self.body["charge"], field, value, self.decision.actor)
        self.change(held_for=self.held_for, **columns(self.said))

    def as_corrected(self, said: Charge) -> Charge:
        """*said* by the source, as a person corrected it: a source that repeats itself does not undo that."""
        plain = to_plain(said)
        for field, (before, after, by) in self.body.get("corrected", {}).items():
            if plain[field] == before:
                plain = _corrected(plain, field, after, by)
        return from_plain(Charge, plain)

    def void(self) -> None:
        """Take the charge back."""
        self._move("credit", REVENUE, self._account())
        self.change(state="void")

    def to_patient(self) -> None:
        """Nobody insures it: the patient owes it."""
        self._move("transfer", PATIENT, UNBILLED)
        self.change(state="self pay")

    def from_patient(self) -> None:
        """Somebody insures it after all."""
        self._move("transfer", UNBILLED, PATIENT)
        self.change(state="open")

    def _account(self) -> str:
        return {"self pay": PATIENT, "claimed": PAYER}.get(self.row["state"], UNBILLED)

    def _move(self, kind: str, debit: str, credit: str) -> None:
        number = self.body["entries"] = self.body.get("entries", 0) + 1
        amount = self.row["amount_cents"]
        about: dict[str, Any] = {"patient_id": self.row["patient_id"], "charge_id": self.id}
        ledger.post(
            self.decision,
            key=f"charge/{self.id}/{number}",
            kind=kind,
            postings=(
                Posting(account=debit, amount_cents=amount, **about),
                Posting(account=credit, amount_cents=-amount, **about),
            ),
        )
        self.decision.update("charge", self.row, body=self.decision.seal("charge", self.body))


def _corrected(plain: dict[str, Any], field: str, value: Any, by: str) -> dict[str, Any]:
    """A charge in plain values with another *value*, and with whose word that is among its origins."""
    within = (f"{field}[", f"{field}.")
    origins = [each for each in plain.get("origins", ()) if each[0] != field and not each[0].startswith(within)]
    return {**plain, field: value, "origins": [*origins, [field, f"{BY_PERSON}{by}"]]}


def opened(decision: Decision, row: Row) -> OpenCharge:
    """The charge of *row*."""
    return OpenCharge(decision, row, decision.unseal("charge", row["body"]))


def columns(said: Charge) -> dict[str, Any]:
    """The columns of `charge` that follow from what its source said.

    Codes are cut to what a column holds: a longer one is none, and the edits or the review find it.
    """
    return {
        "service_on": said.service_date.isoformat(),
        "code": said.billed_code[:16],
        "modifiers": " ".join(said.modifiers)[:16],
        "units_milli": int(said.units * 1000),
        "amount_cents": to_cents(said.amount),
        "performing_npi": said.performing_npi[:10],
        "department": said.department[:32],
    }


def arm_bill(decision: Decision, visit_id: int, day: str, business_at: int) -> None:
    """Have the open charges that the visit has on *day* billed at *business_at*; a later charge puts that off.

    *day* is :data:`STAY` for those that go onto an institutional claim.
    """
    decision.rearm(kind="bill", key=f"bill/{visit_id}/{day}", business_at=business_at, subject_id=visit_id, subject=day)
