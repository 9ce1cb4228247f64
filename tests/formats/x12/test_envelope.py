from __future__ import annotations

import tracemalloc

import pytest

from hub.formats.x12.balance import balance
from hub.formats.x12.envelope import identify, read_interchanges, read_transactions
from hub.formats.x12.errors import NotAnInterchangeError, X12Error
from hub.formats.x12.remittance import read_835


def codes(data: bytes) -> set[str]:
    return {p.code for i in read_interchanges(data) for p in i.problems}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("837p_original", "837P"),
        ("837p_secondary", "837P"),
        ("835", "835"),
        ("277ca", "277CA"),
        ("999", "999"),
        ("ta1", "TA1"),
    ],
)
def test_a_whole_sample_is_identified_and_has_no_problems(samples, name: str, kind: str) -> None:
    assert identify(samples[name]) == (kind,)
    assert codes(samples[name]) == set()


def test_kinds_come_in_the_order_of_the_file(samples) -> None:
    data = samples["ta1"] + samples["835"] + b"\r\n" + samples["999"]
    assert identify(data) == ("TA1", "835", "999")


def test_a_277_without_a_guide_is_told_by_its_bht(samples) -> None:
    data = samples["277ca"].replace(b"005010X214", b"005010")
    assert identify(data) == ("277CA",)
    assert identify(data.replace(b"*TH~", b"*DG~")) == ("277",)


def test_a_transaction_that_nobody_knows_is_named_by_its_number(samples) -> None:
    assert identify(samples["835"].replace(b"ST*835", b"ST*850")) == ("X12 850",)


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (b"SE*45*", b"SE*44*", "SE01"),
        (b"SE*45*0001", b"SE*45*0002", "SE02"),
        (b"GE*1*", b"GE*2*", "GE01"),
        (b"GE*1*201", b"GE*1*202", "GE02"),
        (b"IEA*1*", b"IEA*3*", "IEA01"),
        (b"IEA*1*000000201", b"IEA*1*000000202", "IEA02"),
        (b"SE*45*0001~\n", b"", "SE"),
        (b"GE*1*201~\n", b"", "GE"),
        (b"IEA*1*000000201~\n", b"", "IEA"),
    ],
)
def test_each_thing_that_does_not_add_up_is_a_problem_of_its_transaction(
    samples, before: bytes, after: bytes, code: str
) -> None:
    (transaction,) = read_transactions(samples["835"].replace(before, after))
    assert [p.code for p in transaction.problems] == [code]


def test_leading_zeros_in_counts_and_control_numbers_are_no_problem(samples) -> None:
    assert codes(samples["835"].replace(b"SE*45*", b"SE*0045*").replace(b"GE*1*201", b"GE*01*000201")) == set()


def test_problems_of_one_group_are_not_those_of_another(samples) -> None:
    body = samples["835"].split(b"GS*", 1)[1].split(b"IEA", 1)[0]
    data = samples["835"].replace(b"IEA*1", b"GS*" + body.replace(b"GE*1", b"GE*9") + b"IEA*2")
    first, second = read_transactions(data)
    assert ([p.code for p in first.problems], [p.code for p in second.problems]) == ([], ["GE01"])


def test_the_header_says_whether_it_counts(samples) -> None:
    (interchange,) = read_interchanges(samples["835"])
    assert (interchange.isa.usage, interchange.isa.sender, interchange.isa.control_number) == (
        "T",
        "CLEARWAY01",
        "000000201",
    )


def test_empty_data_is_refused() -> None:
    with pytest.raises(NotAnInterchangeError):
        identify(b" \r\n")


def test_a_sample_cut_at_any_byte_is_an_error_or_has_problems_and_never_balances(samples) -> None:
    for name in samples.names:
        data = samples[name].rstrip()
        for cut in range(len(data) - 1):
            try:
                interchanges = list(read_interchanges(data[:cut]))
            except X12Error:
                continue
            assert any(i.problems for i in interchanges), (name, cut)
            for transaction in interchanges[0].transactions:
                if transaction.kind == "835":
                    assert not balance(read_835(transaction)).ok, cut


def test_a_skimmed_transaction_keeps_its_first_segment_and_all_its_problems(samples) -> None:
    for data in (samples["835"], samples["835"].replace(b"SE*45*", b"SE*44*"), samples["835"][:-60]):
        (whole,), (skimmed,) = read_interchanges(data), read_interchanges(data, skimmed=("835",))
        assert [t.problems for t in skimmed.transactions] == [t.problems for t in whole.transactions]
        assert [t.segments for t in skimmed.transactions] == [t.segments[:1] for t in whole.transactions]


def test_what_is_in_a_large_remittance_is_told_without_keeping_it() -> None:
    claims = "".join(f"CLP*H{number}*1*1*1**12*I{number}*11*1~SVC*HC:99213*1*1~" for number in range(20_000))
    data = (
        "ISA*00*          *00*          *ZZ*A              *ZZ*B              *261120*0900*^*00501*000000001*0*T*:~"
        f"GS*HP*A*B*20261120*0900*1*X*005010X221A1~ST*835*0001~{claims}SE*40002*0001~GE*1*1~IEA*1*000000001~"
    ).encode()
    tracemalloc.start()
    try:
        assert identify(data) == ("835",)
        assert tracemalloc.get_traced_memory()[1] < len(data)
    finally:
        tracemalloc.stop()
