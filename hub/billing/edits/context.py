"""What edits may look at besides the claim. What is None is not known, and an edit that needs it is not made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TypeVar

from hub.billing.config import Payer, Practice
from hub.billing.refdata.lookup import NOTHING, NotLoadedError, Reference

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PastService:
    """A service of the same patient on another claim. *open* says that the claim waits for its payer or was paid.

    *amount* is what its payer allows of it, as far as a decision or a contract says, else what it charges.
    """

    code: str
    modifiers: tuple[str, ...]
    service_date: date
    rendering_npi: str
    open: bool
    payer_id: str = ""
    amount: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class History:
    """What the hub knows of the patient's other claims and of this claim's chain.

    *payer_claim_number* is the latest that the payer gave to a claim of the chain. *crossed_over* are the payers that
    sent the claim on by themselves, *stays* the first days of the patient's other inpatient stays here.
    """

    services: tuple[PastService, ...] = ()
    payer_claim_number: str = ""
    crossed_over: frozenset[str] = frozenset()
    stays: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True)
class Eligibility:
    """What the payer last said about the coverage on the day of service; None or empty: it was not told."""

    active: bool | None
    member_id: str | None = None
    last: str = ""
    first: str = ""
    birth_date: date | None = None
    not_to_be_billed: bool | None = None


@dataclass(frozen=True, slots=True)
class Authorised:
    """What the payer authorised beforehand under *number*.

    *services* are codes (an empty one: any) with the units authorised, None where there is no limit; none at all: any
    service. *used* are the units that other claims took, by code. *providers* are NPIs; none: anybody.
    """

    number: str
    services: Mapping[str, Decimal | None] = field(default_factory=dict)
    effective: date | None = None
    expires: date | None = None
    providers: frozenset[str] = frozenset()
    active: bool = True
    used: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What one claim is checked against.

    *charged* is what its charges were entered with, *coverages* how many insurances the patient has on the day,
    *signed* whether the EHR has locked the visit, *notices* the lines for which a notice to the patient is on file,
    *vouched* the lines that a person said are no duplicates. *fees* is what the practice asks for a unit of a code,
    *contracts* what the payer has agreed to allow, *authorisations* what it authorised for the patient.
    """

    payer: Payer
    today: date
    practice: Practice | None = None
    reference: Reference = NOTHING
    charged: Decimal | None = None
    history: History | None = None
    eligibility: Eligibility | None = None
    coverages: int | None = None
    signed: bool | None = None
    notices: frozenset[int] | None = None
    fees: Mapping[str, Decimal] = field(default_factory=dict)
    contracts: Mapping[str, Decimal] = field(default_factory=dict)
    vouched: frozenset[int] = frozenset()
    authorisations: tuple[Authorised, ...] = ()


def known(value: T | None, name: str) -> T:
    """*value*. Raises `NotLoadedError` when it is None: the edit that needs it is not made."""
    if value is None:
        raise NotLoadedError("What an edit needs is not known.", expected=name)
    return value
