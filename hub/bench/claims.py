"""How many claims per second are built, scrubbed, written and judged, by how many workers, and where the time goes.

Each worker does what billing workers do: the canonical claim from charges, visit, coverage and the site's files; every
edit and rule; the 837P of a batch; the guide's check, which has pyx12 judge every shape of claim once. Loading pyx12's
maps is not counted: a worker does it once.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from time import perf_counter, process_time
from zoneinfo import ZoneInfo

from hub.billing import canonical
from hub.billing.config import (
    BillingConfig,
    BillingPolicy,
    Department,
    Partner,
    Payer,
    PostalAddress,
    Practice,
    Provider,
)
from hub.billing.control_numbers import check_character
from hub.billing.edits.context import Context
from hub.billing.grouping import Billable, group
from hub.billing.rules.examine import examine
from hub.billing.rules.layers import rule_book
from hub.billing.values import Address, Charge, Coverage, Name, Patient, Visit
from hub.formats.x12.claim import Claim, ClaimBatch, Receiver, Submitter
from hub.formats.x12.professional import write_837p
from hub.formats.x12.shapes import shape_judge
from hub.formats.x12.writer import Envelope

BATCH = 100
_DAY = date(2026, 11, 10)
_CODES = (("99213", ("25",), "150.00"), ("83036", ("QW",), "65.00"), ("36415", (), "15.00"), ("93000", (), "60.00"))
_NPI, _BILLING_NPI = "1999000114", "1999000015"


@dataclass(frozen=True, slots=True)
class ClaimFigures:
    """What so many workers did: seconds by the clock, and the processor seconds of each step, all workers together."""

    workers: int
    claims: int
    seconds: float
    built: float
    scrubbed: float
    written: float
    judged: float

    @property
    def per_second(self) -> float:
        """Claims per second, all workers together."""
        return self.claims / self.seconds

    @property
    def judge_share(self) -> float:
        """The part of the workers' time that the guide's check took."""
        return self.judged / (self.built + self.scrubbed + self.written + self.judged)


def measure_claims(workers: int, batches: int) -> ClaimFigures:
    """Have *workers* processes do *batches* batches of 100 claims each."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(workers + 1)
    with context.Pool(workers, _prepare, (ready,)) as pool:
        ready.wait(120)
        begun = perf_counter()
        parts = pool.map(_work, [batches] * workers, chunksize=1)
        seconds = perf_counter() - begun
    built, scrubbed, written, judged = (sum(part[step] for part in parts) for step in range(4))
    return ClaimFigures(workers, workers * batches * BATCH, seconds, built, scrubbed, written, judged)


def _prepare(ready: Callable[..., object] | object) -> None:
    """Load what a worker loads once, then wait for the others."""
    _work(1)
    ready.wait(120)  # type: ignore[union-attr]


def _work(batches: int) -> tuple[float, float, float, float]:
    """Do so many batches; the processor seconds that building, scrubbing, writing and judging took."""
    config = _config()
    payer = config.payers["90001"]
    book = rule_book(config, payer.payer_id)
    took = [0.0, 0.0, 0.0, 0.0]
    for number in range(batches):
        start = process_time()
        claims = [_claim(config, payer, number * BATCH + each) for each in range(BATCH)]
        built = process_time()
        context = Context(payer, _DAY + timedelta(days=2), config.practice)
        claims = [examine(claim, context, book).claim for claim in claims]
        scrubbed = process_time()
        data = write_837p(_envelope(), _batch(claims))
        written = process_time()
        verdict = shape_judge().judge(data)
        judged = process_time()
        assert verdict.ok, verdict.findings[:3]
        for step, seconds in enumerate((built - start, scrubbed - built, written - scrubbed, judged - written)):
            took[step] += seconds
    return took[0], took[1], took[2], took[3]


def _claim(config: BillingConfig, payer: Payer, number: int) -> Claim:
    text = f"H{number:010d}"
    patient = Patient(
        mrn=f"M{number}",
        name=Name(family="Examplar", given="Wren"),
        birth_date=date(1980, 2, 14),
        sex="F",
        address=Address(line="42 Elm Avenue", city="Springfield", state="IL", postal_code="62702"),
    )
    charges = [
        Charge(
            transaction=f"T{number}-{place}",
            account=f"A{number}",
            service_date=_DAY,
            code=code,
            modifiers=modifiers,
            amount=Decimal(amount),
            diagnoses=("E119", "I10", "J069")[: number % 3 + 1],
            performing_npi=_NPI,
            department="FM",
        )
        for place, (code, modifiers, amount) in enumerate(_CODES[number // 8 % 2 :])
    ]
    (together,) = group(Billable(place, _NPI, "11", charge.diagnoses) for place, charge in enumerate(charges))
    return canonical.build(
        config,
        control_number=text + check_character(text),
        payer=payer,
        visit=Visit(account=f"A{number}", patient=patient),
        patient=patient,
        coverage=_coverage(number),
        group=together,
        charges=charges,
    )


def _coverage(number: int) -> Coverage:
    """The patient's own insurance, or for every fourth the other parent's."""
    own = Coverage(priority=1, payer_id="90001", member_id=f"W{number:09d}")
    if number % 4:
        return own
    holder = Name(family="Examplar", given="Lark")
    return replace(own, relationship="child", insured_name=holder, insured_birth_date=date(1955, 5, 5), insured_sex="M")


def _envelope() -> Envelope:
    at = datetime(2026, 11, 12, 8, 15, tzinfo=ZoneInfo("America/Chicago"))
    return Envelope("BENCH01", "CLEARWAY01", at, 1, 1, "T")


def _batch(claims: list[Claim]) -> ClaimBatch:
    submitter = Submitter("BENCH CLINIC", "BENCH01", "BILLING OFFICE", "2175550142")
    return ClaimBatch(submitter, Receiver("CLEARWAY", "CLEARWAY01"), "B1", tuple(claims))


def _config() -> BillingConfig:
    partner = Partner.model_validate(
        {
            "schema": 1,
            "name": "clearway",
            "title": "Clearway",
            "submitter_id": "BENCH01",
            "receiver_id": "CLEARWAY01",
            "receiver_name": "CLEARWAY",
            "environment": "test",
        }
    )
    payer = Payer.model_validate(
        {"schema": 1, "payer_id": "90001", "name": "Cedar Mutual", "partner": "clearway", "claim_filing": "CI"}
    )
    practice = Practice.model_validate(
        {
            "schema": 1,
            "organisation": "bench",
            "name": "Bench Clinic",
            "npi": _BILLING_NPI,
            "tax_id": "371990001",
            "taxonomy": "207Q00000X",
            "address": PostalAddress(line="214 ALDER STREET", city="SPRINGFIELD", state="IL", postal_code="627014410"),
            "phone": "2175550142",
            "clia": "14D0000001",
            "time_zone": "America/Chicago",
            "provider": [Provider(npi=_NPI, taxonomy="207Q00000X", family="OKAFOR", given="MARIN")],
            "department": [Department(code="FM", title="Family medicine", place_of_service="11")],
        }
    )
    return BillingConfig(
        environment="test",
        practice=practice,
        policy=BillingPolicy.model_validate({"schema": 1}),
        partners={"clearway": partner},
        payers={"90001": payer},
        fees={},
    )
