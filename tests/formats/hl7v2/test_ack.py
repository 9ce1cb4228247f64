from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from hub.formats.hl7v2 import HL7ParseError, Message
from hub.formats.hl7v2.ack import (
    Ack,
    AckError,
    acknowledge,
    is_enhanced,
    read_ack,
    wants_accept_ack,
    wants_application_ack,
)
from hub.formats.hl7v2.header import Header, read_header

SAMPLES = Path(__file__).parent / "samples"
NOW = dt.datetime(2026, 11, 10, 17, 30, 1, tzinfo=dt.timezone(dt.timedelta(hours=-6)))


def header(accept: str = "", application: str = "", version: str = "2.5.1", control_id: str = "DFT000123") -> Header:
    return read_header(
        f"MSH|^~\\&|EHR^E|CLINIC1|HUB|BILL|20261110||DFT^P03^DFT_P03|{control_id}|T|{version}|||{accept}|{application}".encode()
    )


def test_an_answer_exchanges_sender_and_receiver_and_echoes_the_rest() -> None:
    raw = acknowledge(header(), "AA", control_id="HUB000900", now=NOW)
    assert raw == (
        b"MSH|^~\\&|HUB|BILL|EHR^E|CLINIC1|20261110173001-0600||ACK^P03^ACK|HUB000900|T|2.5.1\rMSA|AA|DFT000123\r"
    )


def test_an_answer_in_enhanced_mode_asks_for_no_answer_itself() -> None:
    raw = acknowledge(header("AL", "NE"), "CA", control_id="1", now=NOW)
    assert Message(raw)["MSH-15"] == Message(raw)["MSH-16"] == "NE"


def test_we_may_call_ourselves_otherwise_than_we_were_called() -> None:
    message = Message(acknowledge(header(), "AA", control_id="1", now=NOW, sending=("A&B", "C")))
    assert (message["MSH-3"], message["MSH-4"]) == ("A&B", "C")


@pytest.mark.parametrize("control_id", [" A 1 ", r"A\T\B", "Ä", "x" * 199, ""])
def test_the_control_id_is_echoed_byte_for_byte(control_id: str) -> None:
    raw = acknowledge(header(control_id=control_id), "AA", control_id="1", now=NOW, text="x")
    assert raw.split(b"\r")[1].split(b"|")[2] == control_id.encode()


def test_the_answer_uses_the_messages_own_delimiters() -> None:
    incoming = read_header((SAMPLES / "adt_a08_other_delimiters.hl7").read_bytes())
    raw = acknowledge(incoming, "AE", control_id="1", now=NOW, text="a#b", error=AckError("101", "why", "PID-3.1"))
    assert raw.startswith(b"MSH#*~!%#CLAIMHUB#HUB#ALDER_EHR#ALDER#")
    assert b"MSA#AE#ADT000108#a!F!b\r" in raw
    assert read_ack(raw).error_location == "PID[1]-3[1]"


def test_a_complaint_says_what_and_where() -> None:
    error = AckError("101", "There is no account number.", "PID[1]-18[1].1")
    raw = acknowledge(header(), "AE", control_id="1", now=NOW, text="refused", error=error)
    assert raw.split(b"\r")[2] == (
        b"ERR||PID^1^18^1^1|101^Required field missing^HL70357|E||||There is no account number."
    )
    assert read_ack(raw) == Ack("AE", "DFT000123", "refused", "101", "PID[1]-18[1].1", "There is no account number.")


def test_a_complaint_before_version_2_5_has_the_old_form() -> None:
    error = AckError("204", "unknown", "FT1[2]-25.1")
    raw = acknowledge(header(version="2.3"), "AE", control_id="1", now=NOW, error=error)
    assert raw.split(b"\r")[1:3] == [
        b"MSA|AE|DFT000123|unknown",
        b"ERR|FT1^2^25^204&Unknown key identifier&HL70357",
    ]
    answer = read_ack(raw)
    assert (answer.error_condition, answer.error_location) == ("204", "FT1[2]-25[1]")
    assert not answer.accepted


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("2.1", "ACK"),
        ("2.2", "ACK"),
        ("2.3", "ACK"),
        ("2.3.1", "ACK^P03^ACK"),
        ("2.9", "ACK^P03^ACK"),
        ("", "ACK^P03^ACK"),
    ],
)
def test_an_answer_has_the_type_that_its_version_knows(version: str, kind: str) -> None:
    raw = acknowledge(header(version=version), "AA", control_id="1", now=NOW)
    assert raw.split(b"|")[8] == kind.encode()


@pytest.mark.parametrize("where", ["byte 0", "MSH-2 (byte 4)", "", "MSH", "PID[1]"])
def test_a_message_that_cannot_be_read_is_answered_all_the_same(where: str) -> None:
    error = AckError.of(HL7ParseError("No.", where=where))
    answer = read_ack(acknowledge(None, "AR", control_id="1", now=NOW, error=error))
    assert (answer.code, answer.control_id, answer.error_condition) == ("AR", "", "100")


@pytest.mark.parametrize("raw", [b"", b"MSH|^~\\&|||||||ACK|1|P|2.3\r", b"MSH|^~\\&|||||||ACK|1|P|2.3\rMSA|ZZ|1\r"])
def test_what_is_no_acknowledgement_is_refused_with_its_place(raw: bytes) -> None:
    with pytest.raises(HL7ParseError) as raised:
        read_ack(raw)
    assert raised.value.where in {"byte 0", "MSA-1"}


@pytest.mark.parametrize(
    ("accept", "application", "enhanced", "on_good", "on_bad", "later_good", "later_bad"),
    [
        ("", "", False, True, True, False, False),
        ("AL", "NE", True, True, True, False, False),
        ("NE", "AL", True, False, False, True, True),
        ("ER", "SU", True, False, True, True, False),
        ("SU", "ER", True, True, False, False, True),
        ("", "AL", True, False, False, True, True),
    ],
)
def test_answers_are_given_as_table_0155_asks(
    accept: str, application: str, enhanced: bool, on_good: bool, on_bad: bool, later_good: bool, later_bad: bool
) -> None:
    incoming = header(accept, application)
    assert is_enhanced(incoming) is enhanced
    assert (wants_accept_ack(incoming, True), wants_accept_ack(incoming, False)) == (on_good, on_bad)
    later = (wants_application_ack(incoming, True), wants_application_ack(incoming, False))
    assert later == (later_good, later_bad)
