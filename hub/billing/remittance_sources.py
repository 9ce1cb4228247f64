"""An 835 on its way from its file into the store, in pieces: however large it is, one piece is in memory at a time.

Each ST of a file has a row that says how far it was read. The first pass adds everything up and keeps no claim,
because a remittance is taken whole or not at all; when it was judged, the second pass brings the claims. Both go on
at a byte of the file, so that neither a restart nor the size of the file makes anything be read twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from typing import Any

from sqlalchemy import select

from hub.billing.decision import Decision
from hub.formats.x12 import records
from hub.formats.x12.balance import Imbalance, balance_claim, balance_transfer
from hub.formats.x12.envelope import Problem, Transaction
from hub.formats.x12.remittance import (
    ProviderAdjustment,
    RemittanceClaim,
    RemittanceHeader,
    RemittanceRest,
    RemittanceStream,
)
from hub.formats.x12.segments import Cursor, Segment, read_segments
from hub.store.changes import Row
from hub.store.contents import stream_content
from hub.store.tables import message, remittance_source

CLAIMS_READ_AT_ONCE = 1000
FAULTS_KEPT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one 835 comes to, as far as it is read.

    *digest* is of every decision in it, so that two copies of one remittance have the same. Of *imbalances* and
    *problems* the first few are kept; *faults* counts all, *claim_faults* those within single claims. *first* is where
    the claims begin.
    """

    usage: str
    interchange: str
    transaction: str
    header: RemittanceHeader | None = None
    first: Cursor | None = None
    claims: int = 0
    paid: Decimal = Decimal(0)
    interest: Decimal = Decimal(0)
    adjustments: tuple[ProviderAdjustment, ...] = ()
    imbalances: tuple[Imbalance, ...] = ()
    problems: tuple[Problem, ...] = ()
    faults: int = 0
    claim_faults: int = 0
    digest: str = ""


def begin(decision: Decision, transactions: Iterable[tuple[int, Transaction]]) -> None:
    """Have the 835s among a file's *transactions* (by their ordinal in the file) read from now on.

    Only their ST segments are needed.
    """
    assert decision.message_id is not None
    for ordinal, transaction in transactions:
        reading = Reading(
            usage=transaction.isa.usage,
            interchange=transaction.isa.control_number,
            transaction=transaction.st.control_number,
            problems=transaction.problems[:FAULTS_KEPT],
            faults=len(transaction.problems),
        )
        decision.insert(
            "remittance_source",
            message_id=decision.message_id,
            ordinal=ordinal,
            state="reading",
            place=_text(transaction.segments[0].cursor),
            body=decision.seal("remittance_source", records.to_plain(reading)),
        )


def is_begun(decision: Decision) -> bool:
    """Whether the 835s of the decision's message are being read, or were."""
    found = select(remittance_source.c.ordinal).where(remittance_source.c.message_id == decision.message_id)
    return decision.connection.execute(found.limit(1)).first() is not None


def unfinished(decision: Decision) -> Row | None:
    """The first 835 of the decision's message that was not judged yet."""
    found = decision.rows(
        "remittance_source", message_id=decision.message_id, state="reading", order_by="ordinal", limit=1
    )
    return found[0] if found else None


def read_on(decision: Decision, row: Row) -> Reading | None:
    """Read the next piece of the 835 that *row* stands for; everything that it comes to when that was the last."""
    reading = records.from_plain(Reading, decision.unseal("remittance_source", row["body"]))
    stream: RemittanceRest
    if reading.header is None:
        stream = begun = RemittanceStream(_segments(decision, row))
        header = begun.header
        reading = replace(
            reading,
            header=header,
            first=begun.after,
            problems=(*reading.problems, *header.problems)[:FAULTS_KEPT],
            faults=reading.faults + len(header.problems),
            digest=_linked("", (header.trace, str(header.amount))),
        )
    else:
        stream = RemittanceRest(_segments(decision, row), row["claims"])
    reading, ended = _added(reading, stream)
    values: dict[str, Any] = {"claims": reading.claims}
    if stream.after is not None:
        values["place"] = _text(stream.after)
    if ended:
        assert reading.header is not None
        values |= {"state": "told", "claims": 0}
        if reading.first is not None:
            values["place"] = _text(reading.first)
        withheld = sum((each.amount for each in reading.adjustments), Decimal(0))
        found = balance_transfer(reading.header, reading.paid, withheld)
        reading = replace(
            reading,
            imbalances=(*reading.imbalances, *found),
            faults=reading.faults + len(found),
            digest=_linked(reading.digest, (f"{p.reason}\0{p.reference}\0{p.amount}" for p in reading.adjustments)),
        )
    decision.update(
        "remittance_source",
        row,
        **values,
        body=decision.seal("remittance_source", records.to_plain(reading)),
    )
    return reading if ended else None


def next_claims(decision: Decision, row: Row, count: int) -> list[RemittanceClaim]:
    """The next *count* claims of the 835 that *row* stands for, after it was read; fewer at its end."""
    stream = RemittanceRest(_segments(decision, row), row["claims"])
    found = list(islice(stream, count))
    if stream.after is not None:
        decision.update("remittance_source", row, place=_text(stream.after), claims=row["claims"] + len(found))
    return found


def _segments(decision: Decision, row: Row) -> Iterator[Segment]:
    """The segments of the file from the place where reading goes on."""
    raw_id = decision.connection.execute(select(message.c.raw_id).where(message.c.id == row["message_id"])).scalar_one()
    at = records.from_plain(Cursor, json.loads(row["place"]))
    return read_segments(stream_content(decision.connection, decision.vault, raw_id, at.offset), at)


def _added(reading: Reading, stream: RemittanceRest) -> tuple[Reading, bool]:
    """*reading* with the next claims of *stream*, and whether that was all."""
    paid, interest, digest = reading.paid, reading.interest, reading.digest
    count, in_claims = 0, reading.claim_faults
    imbalances, problems, faults = list(reading.imbalances), list(reading.problems), reading.faults
    for claim in islice(stream, CLAIMS_READ_AT_ONCE):
        count += 1
        paid += claim.paid
        interest += claim.amount("I") or Decimal(0)
        digest = _linked(digest, _facts(claim))
        found = balance_claim(claim)
        faults += len(found) + len(claim.problems)
        in_claims += len(found) + len(claim.problems)
        imbalances += found[: FAULTS_KEPT - len(imbalances)]
        problems += claim.problems[: max(FAULTS_KEPT - len(problems), 0)]
    known = {problem.code for problem in problems}
    later = [problem for problem in stream.problems if problem.code not in known]
    return (
        replace(
            reading,
            claims=reading.claims + count,
            paid=paid,
            interest=interest,
            adjustments=(*reading.adjustments, *stream.provider_adjustments),
            imbalances=tuple(imbalances),
            problems=(*problems, *later),
            faults=faults + len(later),
            claim_faults=in_claims,
            digest=digest,
        ),
        count < CLAIMS_READ_AT_ONCE,
    )


def claim_digest(reading: Reading, claims: Iterable[RemittanceClaim]) -> str:
    """The digest that an 835 with the header and adjustments of *reading* and with *claims* would have."""
    assert reading.header is not None
    digest = _linked("", (reading.header.trace, str(reading.header.amount)))
    for claim in claims:
        digest = _linked(digest, _facts(claim))
    return _linked(digest, (f"{p.reason}\0{p.reference}\0{p.amount}" for p in reading.adjustments))


def _facts(claim: RemittanceClaim) -> Iterator[str]:
    yield from (claim.control_number, claim.status, str(claim.charge), str(claim.paid))
    yield claim.payer_claim_control_number
    yield from (f"{a.group}{a.reason}{a.amount}" for a in claim.adjustments)
    for line in claim.lines:
        yield f"{line.code}{line.charge}{line.paid}"
        yield from (f"{a.group}{a.reason}{a.amount}" for a in line.adjustments)


def _linked(digest: str, facts: Iterable[str]) -> str:
    """A digest of everything before and of *facts*, whatever the pieces in which they come."""
    return hashlib.sha256("\0".join((digest, *facts)).encode()).hexdigest()


def _text(cursor: Cursor) -> str:
    return json.dumps(records.to_plain(cursor), separators=(",", ":"))
