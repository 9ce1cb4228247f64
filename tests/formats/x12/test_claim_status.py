from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from hub.formats.x12.claim import Organisation, Person
from hub.formats.x12.claim_status import ClaimAcknowledgement, Reason, read_277ca
from hub.formats.x12.envelope import read_transactions
from hub.formats.x12.errors import WrongTransactionError


def read(data: bytes) -> ClaimAcknowledgement:
    (transaction,) = read_transactions(data)
    return read_277ca(transaction)


def test_the_source_says_who_speaks(samples) -> None:
    answer = read(samples["277ca"])
    assert (answer.source.role, answer.source.id, answer.source.party) == ("PR", "90001", Organisation("CEDAR MUTUAL"))
    assert (answer.kind, answer.reference, answer.trace) == ("277CA", "277X0001", "PAYERBATCH77")
    assert (answer.received, answer.processed) == (date(2026, 11, 23), date(2026, 11, 23))


def test_the_batch_is_named_by_our_reference_and_counted(samples) -> None:
    (batch,) = read(samples["277ca"]).batches
    assert (batch.reference, batch.about.id) == ("B20261123001", "ALDERST01")
    assert (batch.accepted_count, batch.rejected_count) == (1, 1)
    assert (batch.accepted_amount, batch.rejected_amount) == (Decimal(215), Decimal(200))
    (provider,) = read(samples["277ca"]).providers
    assert (provider.accepted_count, provider.rejected_count) == (1, 1)


def test_an_accepted_claim_brings_the_payers_number(samples) -> None:
    accepted, _ = read(samples["277ca"]).claims
    assert (accepted.control_number, accepted.payer_claim_control_number) == ("H7K2M9Q4A1", "ICN2026110001")
    assert accepted.patient.party == Person("SAMPLEWOOD", "JUNIPER", "A")
    (status,) = accepted.statuses
    assert (status.reasons, status.action, status.amount) == ((Reason("A2", "20", "PR"),), "WQ", Decimal(215))


def test_a_refused_claim_keeps_every_reason_and_the_free_text(samples) -> None:
    _, refused = read(samples["277ca"]).claims
    (status,) = refused.statuses
    assert status.reasons == (Reason("A7", "164", "IL"), Reason("A7", "562", "82"))
    assert (status.action, status.text) == ("U", "MEMBER NUMBER AND RENDERING NPI")
    assert refused.clearinghouse_trace == "CW7788"
    assert (refused.service_from, refused.service_to) == (date(2026, 11, 11), date(2026, 11, 12))


def test_a_line_is_named_by_our_line_number(samples) -> None:
    _, refused = read(samples["277ca"]).claims
    (line,) = refused.lines
    assert (line.control_number, line.code, line.modifiers, line.charge) == (
        "H7K2M9Q4C1L01", "99213", ("25",), Decimal(200),
    )  # fmt: skip
    assert line.statuses[0].reasons == (Reason("A7", "507", ""),)
    assert line.statuses[0].action == "U"


def test_a_third_reason_is_read_too(samples) -> None:
    _, refused = read(samples["277ca"].replace(b"A7:562:82**", b"A7:562:82*A6:145:85*")).claims
    assert refused.statuses[0].reasons[2] == Reason("A6", "145", "85")


def test_an_unreadable_figure_does_not_hide_the_answer(samples) -> None:
    answer = read(samples["277ca"].replace(b"*U*200**", b"*U*many**").replace(b"DTP*472*D8*20261110", b"DTP*472*D8*0"))
    accepted, refused = answer.claims
    assert (accepted.service_from, refused.statuses[0].amount) == (None, None)
    assert refused.statuses[0].reasons[0].category == "A7"


def test_a_277_tells_of_the_payment_and_is_traced_by_our_own_number(samples) -> None:
    data = (
        samples["277ca"]
        .replace(b"X214", b"X212")
        .replace(b"TRN*2*H7K2M9Q4A1", b"TRN*2*TRACE1")
        .replace(
            b"STC*A2:20:PR*20261123*WQ*215~\nREF*1K",
            b"STC*F1:65*20261123**215*120*20261118**20261120*EFT00012345~\nREF*EJ*H7K2M9Q4A1~\nREF*1K",
        )
    )
    answer = read(data)
    claim = answer.claims[0]
    assert (answer.kind, claim.trace, claim.control_number) == ("277", "TRACE1", "H7K2M9Q4A1")
    (status,) = claim.statuses
    assert (status.paid, status.decided, status.payment_date, status.payment_number) == (
        Decimal(120), date(2026, 11, 18), date(2026, 11, 20), "EFT00012345",
    )  # fmt: skip


def test_a_remittance_is_not_a_claim_status(samples) -> None:
    with pytest.raises(WrongTransactionError):
        read(samples["835"])
