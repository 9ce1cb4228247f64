"""The claim that samples of rules begin with: a whole, clean, obviously fictional office visit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from hub.billing.rules.fields import write_all
from hub.billing.rules.model import RuleSample
from hub.formats.x12.claim import (
    Address,
    BillingProvider,
    Claim,
    ClaimLine,
    Organisation,
    Payer,
    Person,
    Provider,
    Subscriber,
)

SERVICE_DATE = date(2026, 6, 15)
SAMPLE = Claim(
    control_number="HSAMPLE00001",
    billing_provider=BillingProvider(
        party=Organisation("EXAMPLE FAMILY CLINIC"),
        npi="1999000015",
        tax_id="371990001",
        address=Address("100 EXAMPLE STREET", "SPRINGFIELD", "IL", "627011234"),
        taxonomy="207Q00000X",
    ),
    subscriber=Subscriber(
        person=Person("EXAMPLAR", "WREN"),
        member_id="W123456789",
        address=Address("42 ELM AVENUE", "SPRINGFIELD", "IL", "62702"),
        birth_date=date(1980, 2, 14),
        sex="F",
    ),
    payer=Payer("EXAMPLE HEALTH PLAN", "90001"),
    place_of_service="11",
    diagnoses=("E119", "I10"),
    lines=(
        ClaimLine(
            control_number="HSAMPLE00001L01",
            code="99213",
            charge=Decimal("150.00"),
            units=Decimal(1),
            service_date=SERVICE_DATE,
            pointers=(1, 2),
        ),
    ),
    rendering=Provider(Person("EXAMPLAR", "ROBIN"), "1999000114", "207Q00000X"),
)
"""What ``claim = { ... }`` of a sample changes; ``docs/payer-rules.md`` shows it."""


def sample_claim(sample: RuleSample) -> Claim:
    """The claim of a sample. Raises `UnknownFieldError` for a field or value that claims cannot have."""
    claim = write_all(SAMPLE, sample.claim)
    first = claim.lines[0]
    for number, values in enumerate(sample.lines, 2):
        fresh = replace(SAMPLE.lines[0], control_number=f"HSAMPLE00001L{number:02d}", service_date=first.service_date)
        line = write_all(replace(SAMPLE, lines=(fresh,)), values).lines[0]
        claim = replace(claim, lines=(*claim.lines, line))
    return claim
