from __future__ import annotations

import datetime as dt
import string
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.formats.hl7v2 import ConversionError, FieldMissing, Message, PathError

SAMPLES = Path(__file__).parent / "samples"
HEAD = b"MSH|^~\\&|ALDER_EHR|ALDER|||20261110||ADT^A08^ADT_A01|1|T|2.5.1\r"


def sample(name: str) -> Message:
    return Message((SAMPLES / name).read_bytes())


def pid(*fields: str) -> Message:
    return Message(HEAD + "|".join(("PID", *fields)).encode() + b"\r")


def test_values_are_found_by_position() -> None:
    message = sample("adt_a04.hl7")
    assert message.get("PID-3.1") == "A10417"
    assert message.get("PID-3[2].1") == "77-0417"
    assert message.get("PID-3[MC].4") == "CEDAR"
    assert message.get("PID-3[.4=CEDAR].1") == "77-0417"
    assert message["PID-11.3"] == "SPRINGFIELD"
    assert message["IN1-36"] == "CM000417"
    assert message["MSH-1"] == "|"
    assert message["MSH-2"] == "^~\\&"
    assert message["MSH-9.3"] == message.structure == "ADT_A01"
    assert message["MSH-18"] == "UNICODE UTF-8"


def test_every_version_has_every_field() -> None:
    message = Message(HEAD.replace(b"2.5.1", b"2.1") + b"FT1|1" + b"|" * 97 + b"x^y\r")
    assert message["FT1-98.2"] == "y"


def test_the_states_of_a_place_are_told_apart() -> None:
    message = pid("1", "", '""', 'a^^""', "x~~y", "&b")
    states = {path: message.value(path).state for path in (
        "PID-1", "PID-2", "PID-2.1", "PID-2.2", "PID-3", "PID-3.1", "PID-3.4", "PID-4.2", "PID-4.3", "PID-4.4",
        "PID-5[2]", "PID-5[4]", "PID-5[ZZ]", "PID-6.1.1", "PID-6.1.2", "PID-6.1.3", "PID-7", "PV1-1", "PID[2]-1",
    )}  # fmt: skip
    assert states == {
        "PID-1": "present", "PID-2": "empty", "PID-2.1": "empty", "PID-2.2": "absent", "PID-3": "null",
        "PID-3.1": "null", "PID-3.4": "null", "PID-4.2": "empty", "PID-4.3": "null", "PID-4.4": "absent",
        "PID-5[2]": "empty", "PID-5[4]": "absent", "PID-5[ZZ]": "absent", "PID-6.1.1": "empty",
        "PID-6.1.2": "present", "PID-6.1.3": "absent", "PID-7": "absent", "PV1-1": "absent", "PID[2]-1": "absent",
    }  # fmt: skip
    assert message.get("PID-3") == ""
    assert message.get("PID-2") == ""
    assert message.get("PID-7") is None
    assert message.get("PV1-1") is None
    assert message["PV1-1"] == ""


@pytest.mark.parametrize(
    ("path", "canonical"),
    {
        "PID-3[MC].1": "PID[1]-3[2].1",
        "PID-5": "PID[1]-5[1]",
        "FT1[2]-25.1": "FT1[2]-25[1].1",
        "FT1[*]-26[*].1": "FT1[1]-26[1].1",
        "PID-3[XX].1": "PID[1]-3[.5=XX].1",
        "IN2[3]-6[4].1.2": "IN2[3]-6[4].1.2",
    }.items(),
)
def test_every_value_knows_its_canonical_path(path: str, canonical: str) -> None:
    value = sample("dft_p03.hl7").value(path)
    assert value.path == canonical
    assert Message(sample("dft_p03.hl7").raw).value(canonical) == value


def test_all_means_every_one_where_the_path_leaves_it_open() -> None:
    message = sample("dft_p03.hl7")
    assert message.all("FT1-25.1") == ["99213", "83036"]
    assert message.all("FT1[1]-26.1") == ["25", "59"]
    assert message.all("FT1-19.1") == ["E11.9", "I10", "E11.9", "I10"]
    assert message.all("FT1[2]-19[2].1") == ["I10"]
    assert message.all("FT1[*]-19[2].1") == ["I10", "I10"]
    assert message.all("PV2-3") == []
    assert pid("", "", 'a~~""~b').all("PID-3") == ["a", "b"]


def test_a_line_is_read_by_its_own_name() -> None:
    line = sample("dft_p03.hl7").each("FT1")[1]
    assert (line.name, line.ordinal, line.path) == ("FT1", 2, "FT1[2]")
    assert line["FT1-2"] == line.get("FT1[2]-2") == "CHG-77002"
    assert line.value("FT1-25.1").path == "FT1[2]-25[1].1"
    assert line.get("FT1-26") is None
    assert line.all("FT1-19.1") == ["E11.9", "I10"]
    for path in ("PID-3", "FT1[1]-2", "FT1[*]-2"):
        with pytest.raises(PathError):
            line.get(path)


def test_the_segments_under_a_line_end_where_the_next_one_begins() -> None:
    first, second = sample("dft_p03.hl7").each("FT1")
    assert [segment["PR1-3.1"] for segment in first.following("PR1")] == ["99213"]
    assert [note["NTE-3"] for note in first.following("NTE", until="PR1")] == ["Charge & note with | inside"]
    assert first.following("PR1", until="NTE") == []
    assert second.following("PR1") == []
    assert len(second.following("DG1")) == 2


def test_a_field_table_gives_converted_values() -> None:
    table = {
        "transaction": "FT1-2",
        "service_date": "FT1-4.1 | date",
        "modifiers": "FT1-26[*].1",
        "units": "FT1-10 | number",
        "amount": "FT1-11.1|money",
        "diagnoses": "FT1-19[*].1 | icd",
        "npi": "FT1-20.1 | npi",
        "reference": "FT1-31",
        "posted": "FT1-41 | date",
        "code": "FT1-42 | upper",
    }
    first, second = (line.fields(table) for line in sample("dft_p03.hl7").each("FT1"))
    assert first == {
        "transaction": "CHG-77001",
        "service_date": dt.date(2026, 11, 10),
        "modifiers": ["25", "59"],
        "units": Decimal(1),
        "amount": Decimal("150.00"),
        "diagnoses": ["E119", "I10"],
        "npi": "1999000114",
        "reference": "",
        "posted": None,
        "code": "",
    }
    assert second["modifiers"] == []


def test_a_message_has_field_tables_too() -> None:
    fields = sample("dft_p03.hl7").fields({"codes": "FT1[*]-25.1", "born": "PID-7 | date", "no": "PV2-1 | date"})
    assert fields == {"codes": ["99213", "83036"], "born": dt.date(1980, 2, 14), "no": None}


def test_a_failed_conversion_names_the_place_and_masks_the_value() -> None:
    message = sample("adt_a08_crlf_bom_latin1.hl7")
    with pytest.raises(ConversionError) as raised:
        message.fields({"born": "PID-7 | date"})
    assert raised.value.where == "PID[1]-7[1]"
    assert raised.value.found == "99999999"
    assert "day" in str(raised.value)


def test_an_unknown_converter_is_refused_with_the_list() -> None:
    with pytest.raises(PathError, match="money"):
        pid("1").fields({"x": "PID-1 | cash"})


def test_times_take_the_zone_of_their_source() -> None:
    raw = HEAD + b"PV1|1|20261110091500|20261110091500-0800\r"
    zoned = Message(raw, zone=ZoneInfo("America/Chicago"))
    table = {"local": "PV1-2 | datetime", "own": "PV1-3 | datetime"}
    assert [str(value) for value in zoned.fields(table).values()] == [
        "2026-11-10 09:15:00-06:00",
        "2026-11-10 09:15:00-08:00",
    ]
    with pytest.raises(ConversionError):
        Message(raw).fields(table)


def test_what_is_required_and_missing_is_an_error_with_its_place() -> None:
    message = pid("1", "", '""')
    assert message.required("PID-1") == "1"
    for path, state in (("PID-2", "empty"), ("PID-3.1", "null"), ("PID-9", "absent")):
        with pytest.raises(FieldMissing) as raised:
            message.required(path)
        assert raised.value.found == state
        assert raised.value.where.startswith("PID[1]-")


def test_identifiers_are_chosen_by_type_and_authority() -> None:
    message = pid("", "", "1^^^A^MR~^^^B^MR~3^^^B&1.2.3&ISO^MR~4^^^A^PI")
    assert message.identifier("PID-3", type="MR") == "1"
    assert message.identifier("PID-3", type="MR", authority="B") == "3"
    assert message.identifier("PID-3", type="MR", authority="1.2.3") == "3"
    assert message.identifier("PID-3", type="PI") == "4"
    assert message.identifier("PID-3", type="XX") is None
    assert message.identifier("PV1-19", type="VN") is None
    assert message.segments[1].identifier("PID-3", type="PI", authority="A") == "4"


def test_the_messages_own_delimiters_and_escape_are_used() -> None:
    message = sample("adt_a08_other_delimiters.hl7")
    assert message["PID-3.4.2"] == "1.2.3"
    assert message["PID-5.1"] == "BRACKEN#FIELD"
    assert message.value("PID-9").state == "null"
    assert (message.version, message.type) == ("2.3", "ADT^A08")


def test_bom_blank_lines_crlf_latin1_and_z_segments_are_read() -> None:
    message = sample("adt_a08_crlf_bom_latin1.hl7")
    assert [segment.name for segment in message.segments] == ["MSH", "EVN", "PID", "PV1", "ZZZ"]
    assert message["PID-5.1"] == "NÚÑEZ DE PRUEBA"
    assert message["ZZZ-2"] == "value"
    assert message.raw.startswith(b"\r\n")


@pytest.mark.parametrize(
    ("declared", "wire", "text"),
    [
        ("", "É".encode(), "É"),
        ("", "É".encode("cp1252"), "É"),
        ("", b"\x81", "\x81"),
        ("ASCII", "É".encode(), "É"),
        ("8859/1", "É".encode("latin-1"), "É"),
        ("UNICODE UTF-8", b"\xc9", "\ufffd"),
        ("UNICODE UTF-8~8859/1", "É".encode(), "É"),
        ("no such set", "É".encode(), "É"),
    ],
)
def test_text_is_decoded_as_declared_and_never_fails(declared: str, wire: bytes, text: str) -> None:
    head = HEAD.rstrip() + b"||||||" + declared.encode() + b"\r"
    assert Message(head + b"PID|1|" + wire)["PID-2"] == text


def test_an_encoding_that_is_given_overrides_what_is_declared() -> None:
    head = HEAD.rstrip() + b"||||||8859/1\r"
    assert Message(head + "PID|É".encode(), encoding="utf-8")["PID-1"] == "É"


def test_a_line_break_inside_a_segment_stays_in_it() -> None:
    message = Message(HEAD + b"NTE|1||first line\nsecond line\r\nthird\rPV1|1\r")
    assert [segment.name for segment in message.segments] == ["MSH", "NTE", "PV1"]
    assert message["NTE-3"] == "first line\nsecond line\nthird"


def test_segment_names_in_lower_case_are_found() -> None:
    assert Message(HEAD + b"pid|1||A1\r")["PID-3"] == "A1"


def test_the_header_is_at_hand() -> None:
    message = sample("siu_s12.hl7")
    assert message.type == "SIU^S12"
    assert message.control_id == "SIU000112"
    assert (message.sending_application, message.sending_facility) == ("ALDER_EHR", "ALDER")
    assert (message.processing_id, message.accept_ack, message.application_ack) == ("T", "", "")
    assert message["SCH-11.4"] == "20261117093000-0600"


def test_the_printed_form_shows_no_patient() -> None:
    message = sample("adt_a04.hl7")
    assert "BRACKEN" not in repr(message) + repr(message.segments[2])


@given(
    st.permutations("|^~\\&!#*@%;:").map(lambda chosen: chosen[:5]),
    st.lists(
        st.lists(
            st.lists(st.text(string.ascii_letters + " ", max_size=3), min_size=1, max_size=3),
            min_size=1,
            max_size=3,
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["\r", "\n", "\r\n"]),
)
def test_any_delimiters_lead_to_the_same_values(chosen: list[str], fields: list[list[list[str]]], end: str) -> None:
    bar, caret, tilde, *_ = chosen
    body = bar.join(tilde.join(caret.join(parts) for parts in repetitions) for repetitions in fields)
    head = bar.join((f"MSH{bar}{''.join(chosen[1:])}", "", "", "", "", "", "", f"ADT{caret}A08", "1"))
    message = Message(f"{head}{end}ZZZ{bar}{body}{end}".encode())
    for position, repetitions in enumerate(fields, 1):
        for number, parts in enumerate(repetitions, 1):
            for component, text in enumerate(parts, 1):
                assert message.get(f"ZZZ-{position}[{number}].{component}") == text
            assert message.get(f"ZZZ-{position}[{number}].{len(parts) + 1}") is None
        assert message.get(f"ZZZ-{position}[{len(repetitions) + 1}]") is None
    assert message.get(f"ZZZ-{len(fields) + 1}") is None


@given(st.binary(max_size=200))
def test_nothing_after_msh_can_make_reading_fail(tail: bytes) -> None:
    raw = HEAD + tail
    message = Message(raw)
    for segment in message.segments:
        assert all(isinstance(segment.repetitions(position), list) for position in range(segment.last_field + 1))
    assert message["MSH-10"].startswith("1")
    assert message.all("PID-3.1") == [text for line in message.each("PID") for text in line.all("PID-3.1")]
    assert message.raw is raw
