from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from hub.formats.x12.acks import ElementError, SegmentError, read_999, read_ta1, write_999, write_ta1
from hub.formats.x12.envelope import Transaction, identify, read_interchanges, read_transactions
from hub.formats.x12.errors import UnwritableError, WrongTransactionError
from hub.formats.x12.judge import judge
from hub.formats.x12.writer import Envelope

ENVELOPE = Envelope(
    "ALDERST01", "CLEARWAY01", datetime(2026, 11, 23, 9, 0, tzinfo=ZoneInfo("America/Chicago")), 55, 66, "T"
)


def only(data: bytes) -> Transaction:
    (transaction,) = read_transactions(data)
    return transaction


def test_a_ta1_names_the_interchange_and_the_reason(samples) -> None:
    (interchange,) = read_interchanges(samples["ta1"])
    answer = read_ta1(interchange.acknowledgements[0])
    assert (answer.control_number, answer.code, answer.note) == ("000000101", "R", "025")


def test_a_999_gives_each_transactions_outcome_and_the_claims_it_names(samples) -> None:
    answer = read_999(only(samples["999"]))
    assert (answer.functional_id, answer.control_number, answer.version) == ("HC", "101", "005010X222A1")
    assert (answer.code, answer.included, answer.received, answer.accepted) == ("P", 2, 2, 1)
    first, second = answer.transactions
    assert (first.control_number, first.accepted, first.errors) == ("0001", True, ())
    assert (second.control_number, second.accepted, second.code, second.codes) == ("0002", False, "R", ("5",))
    assert second.errors == (
        SegmentError("NM1", 10, "2010AA", "8", (ElementError(9, 0, 0, "67", "1", ""),), "H7K2M9Q4C1"),
        SegmentError("CLM", 21, "2300", "8", (ElementError(5, 1, 0, "1331", "7", "QQ"),), "H7K2M9Q4C2"),
    )


def test_a_997_is_read_like_a_999(samples) -> None:
    old = samples["999"].replace(b"IK", b"AK").replace(b"ST*999*0001*005010X231A1", b"ST*997*0001")
    assert identify(old) == ("997",)
    assert read_999(only(old)).transactions == read_999(only(samples["999"])).transactions


def test_a_999_that_says_nothing_about_single_transactions_is_read(samples) -> None:
    data = samples["999"]
    bare = data[: data.index(b"AK2")] + data[data.index(b"AK9") :]
    answer = read_999(only(bare))
    assert (answer.code, answer.transactions) == ("P", ())


def test_a_remittance_is_not_an_acknowledgement(samples) -> None:
    with pytest.raises(WrongTransactionError):
        read_999(only(samples["835"]))


@pytest.mark.parametrize("name", ["835", "277ca"])
def test_our_999_accepts_what_is_whole(samples, name: str) -> None:
    received = only(samples[name])
    data = write_999(ENVELOPE, [received])
    assert judge(data).findings == ()
    answer = read_999(only(data))
    assert (answer.functional_id, answer.control_number, answer.code) == (
        received.gs.functional_id,
        received.gs.control_number,
        "A",
    )
    assert [(t.id, t.control_number, t.accepted) for t in answer.transactions] == [
        (received.st.id, received.st.control_number, True)
    ]


def test_our_999_refuses_only_what_does_not_add_up(samples) -> None:
    body = samples["835"][samples["835"].index(b"ST*") : samples["835"].index(b"GE*")]
    second = body.replace(b"*0001~\nBPR", b"*0002~\nBPR").replace(b"SE*45*0001", b"SE*9*0002")
    data = samples["835"].replace(b"GE*1", second + b"GE*2")
    answer = read_999(only(write_999(ENVELOPE, read_transactions(data))))
    assert (answer.code, answer.received, answer.accepted) == ("P", 2, 1)
    assert [(t.code, t.codes) for t in answer.transactions] == [("A", ()), ("R", ("4",))]


def test_our_999_refuses_a_group_without_end(samples) -> None:
    cut = samples["835"][: samples["835"].index(b"GE*")]
    answer = read_999(only(write_999(ENVELOPE, read_transactions(cut))))
    assert (answer.code, answer.accepted, answer.codes) == ("R", 0, ("3",))


def test_two_groups_get_two_answers(samples) -> None:
    transactions = [only(samples["835"]), only(samples["277ca"])]
    answers = [read_999(t) for t in read_transactions(write_999(ENVELOPE, transactions))]
    assert [a.functional_id for a in answers] == ["HP", "HN"]


def test_there_is_no_999_about_nothing_nor_about_a_999(samples) -> None:
    for transactions in ([], [only(samples["999"])]):
        with pytest.raises(UnwritableError):
            write_999(ENVELOPE, transactions)


@pytest.mark.parametrize(
    ("before", "after", "code", "note"),
    [
        (b"", b"", "A", "000"),
        (b"IEA*1*000000201", b"IEA*1*000000999", "R", "001"),
        (b"IEA*1*", b"IEA*2*", "R", "021"),
        (b"IEA*1*000000201~\n", b"", "R", "023"),
    ],
)
def test_our_ta1_says_whether_the_interchange_is_whole(
    samples, before: bytes, after: bytes, code: str, note: str
) -> None:
    (received,) = read_interchanges(samples["835"].replace(before, after))
    data = write_ta1(ENVELOPE, received)
    assert identify(data) == ("TA1",)
    (interchange,) = read_interchanges(data)
    answer = read_ta1(interchange.acknowledgements[0])
    assert (answer.control_number, answer.code, answer.note) == ("000000201", code, note)
    assert interchange.problems == ()
