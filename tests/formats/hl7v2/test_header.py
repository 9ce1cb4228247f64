from __future__ import annotations

from encodings.aliases import aliases
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.formats.hl7v2 import Message
from hub.formats.hl7v2.escape import Delimiters
from hub.formats.hl7v2.header import (
    HL7ParseError,
    codec_for,
    content_without_timestamp,
    normal_version,
    read_control_id,
    read_header,
)

SAMPLES = Path(__file__).parent / "samples"
MSH = b"MSH|^~\\&|EHR^x|CLINIC|HUB|BILL|20261110173000-0600||DFT^P03^DFT_P03| ID 7 |T^A|2.5.1^USA|||al|NE"


def test_the_header_says_what_an_answer_needs() -> None:
    header = read_header(MSH + b"\rPID|1\r")
    assert header.type == "DFT^P03"
    assert header.event == "P03"
    assert header.structure == "DFT_P03"
    assert header.control_id == "ID 7"
    assert header.wire(10) == b" ID 7 "
    assert (header.sending_application, header.sending_facility) == ("EHR", "CLINIC")
    assert (header.receiving_application, header.receiving_facility) == ("HUB", "BILL")
    assert header.sent == "20261110173000-0600"
    assert header.processing_id == "T"
    assert header.version == "2.5.1"
    assert (header.accept_ack, header.application_ack) == ("AL", "NE")
    assert header.wire(40) == b""


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\r\n\n", b"\x0b", b"\r\n\xef\xbb\xbf \t"])
@pytest.mark.parametrize("after", [b"", b"\r", b"\n", b"\r\n", b"\rPID|1", b"\x1c\r"])
def test_what_stands_before_msh_and_how_it_ends_is_tolerated(before: bytes, after: bytes) -> None:
    assert read_header(before + MSH + after).application_ack == "NE"


@pytest.mark.parametrize(
    ("raw", "where"),
    {
        b"": "byte 0",
        b"\r\n": "byte 0",
        b"PID|1": "byte 0",
        b"\r\nPID|1": "byte 2",
        b"FHS|^~\\&|A": "byte 0",
        b"MSH": "MSH-2 (byte 4)",
        b"MSH|": "MSH-2 (byte 4)",
        b"MSH|^|A": "MSH-2 (byte 4)",
        b"MSH|^~\\^|A": "MSH-2 (byte 4)",
        b"MSH|^~\\|&|A": "MSH-9",
        b"MSH|^~\\&#!|A": "MSH-2 (byte 4)",
        b"MSH|ab\\&|A": "MSH-2 (byte 4)",
        b"MSH\xe9^~\\&\xe9A": "MSH-2 (byte 4)",
        b"MSH|^~\\&": "MSH-9",
        b"MSH|^~\\&|A|\x1c|C|D|E|F|ACK|1": "MSH",
        b"MSH|^~\\&|A|B|C|D|E|F||ID": "MSH-9",
    }.items(),
)
def test_a_mangled_header_is_refused_with_its_place(raw: bytes, where: str) -> None:
    with pytest.raises(HL7ParseError) as raised:
        read_header(raw)
    assert raised.value.where == where or (not raw.strip() and raised.value.where.startswith("byte"))
    assert raised.value.code == "H220"


@given(st.text(max_size=12) | st.sampled_from(sorted(aliases)))
def test_any_character_set_that_is_declared_can_be_read(declared: str) -> None:
    raw = MSH + b"||" + declared.encode("utf-8", "replace") + b"\rPID|1|\xff\xfe\x80"
    try:
        message = Message(raw)
    except HL7ParseError:
        return
    assert message["PID-1"] == "1"


@pytest.mark.parametrize("raw", [b"MSH", b"MSH\rPID|1", b"PID|1", b""])
def test_the_content_of_what_has_no_header_is_a_parse_error(raw: bytes) -> None:
    with pytest.raises(HL7ParseError):
        content_without_timestamp(raw)


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"MSH|^~\\&|" + tail))
def test_any_bytes_give_a_header_or_a_parse_error_with_a_place(raw: bytes) -> None:
    try:
        said = read_header(raw).type
    except HL7ParseError as error:
        said = error.where
    assert said


def test_delimiters_are_the_messages_own() -> None:
    header = read_header((SAMPLES / "adt_a08_other_delimiters.hl7").read_bytes())
    assert header.delimiters == Delimiters("#", "*", "~", "!", "%")
    assert header.type == "ADT^A08"
    with_truncation = read_header((SAMPLES / "adt_a08_crlf_bom_latin1.hl7").read_bytes())
    assert with_truncation.delimiters == Delimiters(truncation="#")


@pytest.mark.parametrize(
    ("written", "normal"),
    {
        "2.5.1": "2.5.1",
        "2.3.": "2.3",
        "2.5.1^USA": "2.5.1",
        " v2.4": "2.4",
        "2." + "9" * 5000: "2.999",
        "": "",
        "two": "",
    }.items(),
)
def test_versions_are_normalised(written: str, normal: str) -> None:
    assert normal_version(written) == normal


@pytest.mark.parametrize(
    ("declared", "codec"),
    {
        "UNICODE UTF-8": "utf-8",
        "UTF-8": "utf-8",
        "8859/1": "iso8859-1",
        "8859/15": "iso8859-15",
        "GB 18030-2000": "gb18030",
        "windows-1252": "cp1252",
        "ASCII": None,
        "": None,
        "UNICODE UTF-16": None,
        "base64": None,
        "idna": None,
        "undefined": None,
        "\0": None,
        "nonsense": None,
    }.items(),
)
def test_character_sets_name_codecs_that_can_be_relied_on(declared: str, codec: str | None) -> None:
    assert codec_for(declared) == codec


def test_the_content_for_duplicates_ignores_the_time_and_the_line_ends_only() -> None:
    raw = MSH + b"\rPID|1||A\rPV1|1\r"
    later = raw.replace(b"20261110173000-0600", b"20261111080000-0600")
    other = raw.replace(b"||A", b"||B")
    expected = MSH.replace(b"20261110173000-0600", b"") + b"\rPID|1||A\rPV1|1"
    assert content_without_timestamp(raw) == expected
    assert content_without_timestamp(later.replace(b"\r", b"\r\n")) == expected
    assert content_without_timestamp(b"\xef\xbb\xbf\n" + raw.replace(b"\r", b"\n") + b"\n\n") == expected
    assert content_without_timestamp(other) != expected
    assert content_without_timestamp(MSH[:15]) == MSH[:15]


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("before", ["", "\r\n"])
def test_wide_characters_are_known_by_their_bytes(codec: str, before: str) -> None:
    raw = (before + MSH.decode() + "||UNICODE UTF-16\rPID|1||||Łasica\r").encode(codec)
    assert read_header(raw).control_id == "ID 7"
    assert Message(raw)["PID-5"] == "Łasica"
    assert content_without_timestamp(raw) == content_without_timestamp(raw.decode(codec).encode())


@pytest.mark.parametrize(
    ("declared", "encoded"),
    [
        ("", "utf-8"),
        ("ASCII", "utf-8"),
        ("ASCII", "cp1252"),
        ("UNICODE", "utf-8"),
        ("UNICODE UTF-8", "utf-8"),
        ("UTF-8", "utf-8"),
        ("UNICODE UTF-16", "utf-8"),
        ("8859/1", "latin-1"),
        ("8859/15", "iso8859-15"),
        ("ISO8859/1", "latin-1"),
        ("ISO-8859-1", "latin-1"),
        ("8859-9", "iso8859-9"),
        ("WINDOWS-1252", "cp1252"),
        ("~8859/1", "latin-1"),
        ("ASCII~8859/1", "latin-1"),
        ("8859/1~UNICODE UTF-8", "latin-1"),
        ("NO SUCH SET", "utf-8"),
    ],
)
def test_the_character_set_is_what_msh_18_says_reliably(declared: str, encoded: str) -> None:
    raw = MSH + f"||{declared}\rPID|1||||".encode() + "Müller".encode(encoded)
    assert Message(raw)["PID-5"] == "Müller"


@pytest.mark.parametrize("part", range(1, 16))
def test_each_part_of_iso_8859_is_known(part: int) -> None:
    assert codec_for(f"8859/{part}") == (f"iso8859-{part}" if part != 12 else None)


@pytest.mark.parametrize("version", ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8.2", "2.9"])
def test_every_version_is_read_alike(version: str) -> None:
    header = read_header(f"MSH|^~\\&|A|B|C|D|1||ADT^A01|M1|T|{version}\rPID|1\r".encode())
    assert (header.type, header.version) == ("ADT^A01", version)


@pytest.mark.parametrize(
    ("kind", "following", "type_"),
    [
        ("ADT", "EVN|A01|1", "ADT^A01"),
        ("ADT^", "\nEVN|A01", "ADT^A01"),
        ("ADT", "PID|1", "ADT"),
        ("ADT", "EVN||1", "ADT"),
        ("ADT^A08", "EVN|A01", "ADT^A08"),
        ("ACK", "EVN|A01", "ACK"),
    ],
)
def test_before_version_2_2_the_event_stands_in_evn(kind: str, following: str, type_: str) -> None:
    assert read_header(f"MSH|^~\\&|A|B|C|D|1||{kind}|M1|P|2.1\r{following}\r".encode()).type == type_


def test_the_pointer_of_a_continued_message_is_read() -> None:
    assert read_header(b"MSH|^~\\&|A|B|C|D|1||ORU^R01|M1|P|2.5||X1\r").continues == "X1"


@pytest.mark.parametrize("control_id", [b"HUB000017", b" ID 7 ", b"A\\T\\B", b"A^B", b"", b'""', "Ä".encode()])
@pytest.mark.parametrize("kind", [b"ADT^A04", b"ACK"])
def test_the_short_way_to_the_control_id_leads_to_the_same(control_id: bytes, kind: bytes) -> None:
    raw = b"MSH|^~\\&|EHR|CLINIC|HUB|BILL|20261110||" + kind + b"|" + control_id + b"|T|2.5.1\rEVN|A04|20261110\r"
    assert read_control_id(raw) == read_header(raw).control_id


@pytest.mark.parametrize(
    "raw", [b"", b"PID|1\r", b"MSH|^~\\&|a|b|c|d|e|||X7|T\r", b"MSH|^~\\&|a\rPID|b|c|d|e|f|g|h|X7|T\r"]
)
def test_the_short_way_refuses_what_the_long_way_does(raw: bytes) -> None:
    with pytest.raises(HL7ParseError):
        read_control_id(raw)
