from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.formats.x12.balance import balance
from hub.formats.x12.claim import Adjustment, Person
from hub.formats.x12.envelope import read_transactions
from hub.formats.x12.errors import WrongTransactionError
from hub.formats.x12.remittance import Remittance, RemittanceStream, read_835
from hub.formats.x12.segments import read_segments


def read(data: bytes) -> Remittance:
    (transaction,) = read_transactions(data)
    return read_835(transaction)


def test_the_header_says_who_pays_whom_how_much_and_by_which_transfer(samples) -> None:
    header = read(samples["835"]).header
    assert (header.amount, header.handling, header.method, header.trace, header.originator) == (
        Decimal(85), "I", "ACH", "EFT00012345", "1999999999",
    )  # fmt: skip
    assert (header.paid_on, header.produced) == (date(2026, 11, 20), date(2026, 11, 19))
    assert (header.payer.id, header.payee_npi, header.payee_tax_id) == ("90001", "1999000015", "371990001")


def test_a_debit_is_a_negative_amount(samples) -> None:
    assert read(samples["835"].replace(b"BPR*I*85*C", b"BPR*I*85*D")).header.amount == Decimal(-85)


def test_a_claim_and_its_lines_are_read(samples) -> None:
    claim = read(samples["835"]).claims[0]
    assert (claim.ordinal, claim.control_number, claim.status) == (1, "H7K2M9Q4A1", "1")
    assert (claim.charge, claim.paid, claim.patient_responsibility) == (Decimal(215), Decimal(120), Decimal(35))
    assert (claim.payer_claim_control_number, claim.filing_indicator, claim.place_of_service) == (
        "ICN2026110001", "12", "11",
    )  # fmt: skip
    assert claim.patient
    assert (claim.patient.party, claim.patient.id) == (Person("SAMPLEWOOD", "JUNIPER", "A"), "W123456789")
    assert claim.received == date(2026, 11, 12)
    first, second = claim.lines
    assert (first.code, first.modifiers, first.charge, first.paid, first.units) == ("99213", ("25",), 150, 80, 1)
    assert first.adjustments == (Adjustment("CO", "45", Decimal(45)), Adjustment("PR", "3", Decimal(25)))
    assert (first.control_number, first.allowed, first.service_from) == (
        "H7K2M9Q4A1L01", Decimal(105), date(2026, 11, 10),
    )  # fmt: skip
    assert second.control_number == "H7K2M9Q4A1L02"


def test_a_reversal_and_its_correction_are_two_claims_of_one_number(samples) -> None:
    _, reversal, correction = read(samples["835"]).claims
    assert reversal.is_reversal
    assert (reversal.paid, reversal.lines[0].units, reversal.lines[0].adjustments[0].amount) == (-60, -1, -20)
    assert not correction.is_reversal
    assert correction.lines[0].remark_codes == ("M15",)
    assert reversal.control_number == correction.control_number


def test_a_provider_adjustment_is_expanded_into_its_pairs(samples) -> None:
    data = samples["835"].replace(b"WO:ICN2026070055*-25", b"WO:ICN2026070055*-35*L6*0*FB:EFT1*10")
    assert [(a.reason, a.reference, a.amount) for a in read(data).provider_adjustments] == [
        ("WO", "ICN2026070055", Decimal(-35)),
        ("L6", "", Decimal(0)),
        ("FB", "EFT1", Decimal(10)),
    ]
    assert balance(read(data)).ok


def test_all_triplets_of_an_adjustment_are_read(samples) -> None:
    data = samples["835"].replace(b"CAS*CO*45*45~", b"CAS*CO*45*40**97*3*2*253*2~")
    assert read(data).claims[0].lines[0].adjustments[:3] == (
        Adjustment("CO", "45", Decimal(40)),
        Adjustment("CO", "97", Decimal(3), Decimal(2)),
        Adjustment("CO", "253", Decimal(2)),
    )
    assert balance(read(data)).ok


def test_everything_else_that_a_payer_may_say_about_a_claim_is_kept(samples) -> None:
    more = (
        b"NM1*74*1*SAMPLEWOOD*JUNE****C*W123456780~NM1*TT*2*NORTHWIND HEALTH PLAN*****PI*90003~"
        b"NM1*PR*2*SUMMIT MEDICARE*****PI*90004~MOA***MA01*MA18~REF*F8*OLD1~REF*1L*GRP100~"
        b"DTM*232*20261110~DTM*233*20261111~DTM*036*20271231~AMT*AU*155~AMT*I*0.07~DTM*050*20261112~"
    )
    data = samples["835"].replace(b"DTM*050*20261112~\n", more, 1)
    claim = read(data).claims[0]
    assert claim.corrected
    assert (claim.corrected.id, claim.crossover and claim.crossover.id) == ("W123456780", "90003")
    assert claim.corrected_payer
    assert claim.corrected_payer.id == "90004"
    assert (claim.remark_codes, claim.reference("F8"), claim.reference("XX")) == (("MA01", "MA18"), "OLD1", "")
    assert (claim.amount("I"), claim.amount("AU"), claim.amount("T")) == (Decimal("0.07"), Decimal(155), None)
    assert (claim.service_from, claim.service_to, claim.coverage_expired) == (
        date(2026, 11, 10), date(2026, 11, 11), date(2027, 12, 31),
    )  # fmt: skip


def test_what_was_billed_is_kept_beside_what_was_decided(samples) -> None:
    data = samples["835"].replace(b"SVC*HC:83036*65*40**1~", b"SVC*HC:83037:QW*65*40**1*HC:83036:59*2~")
    line = read(data).claims[0].lines[1]
    assert (line.code, line.modifiers, line.original_code, line.original_modifiers, line.original_units) == (
        "83037", ("QW",), "83036", ("59",), Decimal(2),
    )  # fmt: skip


# Balance ----------------------------------------------------------------------------------------------------------


def test_the_sample_balances_on_all_three_levels(samples) -> None:
    verdict = balance(read(samples["835"]))
    assert verdict.ok
    assert verdict.imbalances == ()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (b"BPR*I*85*", b"BPR*I*85.01*", [("transaction", "0.01")]),
        (b"WO:ICN2026070055*-25", b"WO:ICN2026070055*25", [("transaction", "50.00")]),
        (b"CAS*CO*45*45", b"CAS*CO*45*44.99", [("service", "-0.01"), ("claim", "-0.01")]),
        (b"*215*120*35*", b"*215*121*35*", [("claim", "1.00"), ("claim", "1.00"), ("transaction", "-1.00")]),
        (b"*215*120*35*", b"*216*120*35*", [("claim", "-1.00"), ("claim", "1.00")]),
        (b"*65*40**1~", b"*65*41**1~", [("service", "1.00"), ("claim", "-1.00")]),
    ],
)
def test_each_imbalance_is_named_with_its_level_and_its_cents(
    samples, before: bytes, after: bytes, expected: list[tuple[str, str]]
) -> None:
    verdict = balance(read(samples["835"].replace(before, after)))
    assert [(i.level, str(i.difference)) for i in verdict.imbalances] == expected
    assert not verdict.ok


def test_an_imbalance_says_where_it_is_in_words_and_figures(samples) -> None:
    (first, _) = balance(read(samples["835"].replace(b"CAS*CO*45*45", b"CAS*CO*45*44.99"))).imbalances
    assert (first.claim, first.where) == ("H7K2M9Q4A1", "ISA 000000201, segment 16 SVC")
    assert "expected 80.01, found 80.00" in str(first)


def test_a_remittance_without_service_lines_balances_by_its_claims(samples) -> None:
    data = samples["835"]
    bare = data[: data.index(b"LX*1")] + (
        b"LX*1~CLP*A1*1*215*120*35*12*ICN1~CAS*CO*45*60~CAS*PR*2*10**3*25~SE*16*0001~GE*1*201~IEA*1*000000201~"
    )
    remittance = read(bare.replace(b"BPR*I*85", b"BPR*I*120"))
    assert remittance.claims[0].lines == ()
    assert balance(remittance).ok


def test_a_file_that_was_cut_never_balances_even_when_its_sums_do(samples) -> None:
    verdict = balance(read(samples["835"].replace(b"SE*45*0001~\n", b"")))
    assert verdict.imbalances == ()
    assert [p.code for p in verdict.problems] == ["SE"]


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (b"*215*120*35*", b"*2l5*120*35*", "CLP03"),
        (b"*215*120*35*", b"*215**35*", "CLP04"),
        (b"CAS*CO*45*45", b"CAS*CO*45*45.001", "CAS03"),
        (b"CAS*CO*45*45", b"CAS*CO*45", "CAS03"),
        (b"*-25~", b"*-2S~", "PLB04"),
        (b"BPR*I*85*", b"BPR*I**", "BPR02"),
        (b"99213:25*150*80**1~", b"99213:25*150*80**one~", "SVC05"),
    ],
)
def test_a_figure_that_cannot_be_read_is_a_problem_and_stops_posting(
    samples, before: bytes, after: bytes, code: str
) -> None:
    verdict = balance(read(samples["835"].replace(before, after)))
    assert [p.code for p in verdict.problems] == [code]
    assert not verdict.ok


cents = st.integers(-10_000_000, 10_000_000)


@given(
    st.lists(st.tuples(cents, st.lists(cents, max_size=6)), min_size=1, max_size=5), st.lists(cents, max_size=3), cents
)
def test_sums_are_exact_to_the_cent_and_one_cent_off_is_seen(
    claims: list[tuple[int, list[int]]], provider: list[int], off: int
) -> None:
    def text(value: int) -> str:
        return f"{Decimal(value) / 100:f}"

    rows = []
    total = 0
    for number, (charge, adjustments) in enumerate(claims):
        paid = charge - sum(adjustments)
        total += paid
        rows.append(f"CLP*P{number}*1*{text(charge)}*{text(paid)}**12*ICN{number}")
        rows.append(f"SVC*HC:99213*{text(charge)}*{text(paid)}**1")
        rows += [f"CAS*CO*45*{text(a)}" for a in adjustments]
    rows += [f"PLB*1999000015*20261231*WO:X*{text(a)}" for a in provider]
    total -= sum(provider)
    body = ["ST*835*1", f"BPR*I*{text(total + off)}*C*CHK", "TRN*1*1*1", "N1*PR*P", "N1*PE*Q", "LX*1", *rows]
    se = f"SE*{len(body) + 1}*1"
    isa = f"ISA*00*{'':10}*00*{'':10}*ZZ*{'A':15}*ZZ*{'B':15}*261119*0630*^*00501*000000001*0*T*:"
    data = "~".join([isa, "GS*HP*A*B*20261119*0630*1*X*005010X221A1", *body, se, "GE*1*1", "IEA*1*000000001", ""])
    verdict = balance(read(data.encode()))
    assert verdict.problems == ()
    assert [i.difference for i in verdict.imbalances] == ([Decimal(off).scaleb(-2)] if off else [])


# Streams ----------------------------------------------------------------------------------------------------------


def test_a_stream_gives_the_same_as_reading_whole(samples) -> None:
    whole = read(samples["835"])
    stream = RemittanceStream(read_segments(samples["835"]))
    assert stream.header == whole.header
    assert tuple(stream) == whole.claims
    assert tuple(stream.provider_adjustments) == whole.provider_adjustments
    assert stream.problems == []


def test_a_stream_needs_the_memory_of_one_claim(samples) -> None:
    data = samples["835"]
    start, claim = data[: data.index(b"CLP*")], data[data.index(b"CLP*") : data.index(b"CLP*G1")]

    def chunks(claims: int) -> Iterator[bytes]:
        return chain([start], (claim for _ in range(claims)), [b"SE*0*0001~"])

    tracemalloc.start()
    try:
        assert sum(1 for _ in RemittanceStream(read_segments(chunks(3000)))) == 3000
        few = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        assert sum(1 for _ in RemittanceStream(read_segments(chunks(9000)))) == 9000
        many = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert many < few + 50_000


def test_a_stream_that_was_cut_says_so_at_its_end(samples) -> None:
    data = samples["835"]
    stream = RemittanceStream(read_segments(data[: data.index(b"CLP*G1")]))
    assert len(list(stream)) == 1
    assert [p.code for p in stream.problems] == ["SE"]


def test_another_transaction_is_not_a_remittance(samples) -> None:
    with pytest.raises(WrongTransactionError):
        RemittanceStream(read_segments(samples["277ca"]))
    with pytest.raises(WrongTransactionError):
        RemittanceStream([])
