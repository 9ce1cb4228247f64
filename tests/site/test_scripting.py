from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hub.formats.hl7v2.convert import ConversionError
from hub.formats.hl7v2.message import FieldMissing
from hub.formats.hl7v2.path import PathError
from hub.scripting import Event, X12File
from hub.site.script_tables import TableError, table, tables_from
from hub.site.views import EventError, MappedMessage

DFT = b"MSH|^~\\&|EHR|CLINIC|||20261109||DFT^P03|1|T|2.5.1\rPID|1||M1\rFT1|1|A\rPR1|1\rPR1|2\rFT1|2|B\rPR1|1\r"


def test_the_cursor_follows_loops_and_comes_back_from_inner_ones() -> None:
    message = MappedMessage(DFT, zone=ZoneInfo("UTC"))
    places = []
    for line in message.each("FT1"):
        for _ in line.following("PR1"):
            pass
        for _ in message.each("PR1"):
            break
        places.append(message.cursor.place)
    assert places == ["FT1[1]", "FT1[2]"]
    assert message.cursor.place == ""


def test_the_cursor_leaves_a_loop_that_raises() -> None:
    message = MappedMessage(DFT)

    def choke() -> None:
        for _ in message.each("FT1"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        choke()
    assert message.cursor.place == ""


EVENT = Event.parse(
    b'{"event": "payment", "amount": 10.10, "big": 123456789012345678, "ok": true, "none": null,'
    b' "lines": [{"code": "99213", "modifiers": ["25", "59"], "on": "2026-11-09"}, {"code": "83036"}]}'
)


def test_an_event_is_read_by_path_with_numbers_kept_exactly() -> None:
    assert EVENT["amount"] == "10.10"
    assert EVENT["big"] == "123456789012345678"
    assert EVENT["lines[0].modifiers[1]"] == "59"
    assert EVENT.all("lines[*].code") == ["99213", "83036"]
    assert EVENT.all("lines.code") == ["99213", "83036"]
    assert EVENT["lines[7].code"] == EVENT["none"] == EVENT["absent.deeper"] == EVENT["lines"] == ""
    assert EVENT.flag("ok")
    assert EVENT.kind == "payment"


def test_an_events_fields_are_converted_and_dates_are_iso() -> None:
    line = EVENT.each("lines")[0]
    assert line.fields({"on": "on | date", "modifiers": "modifiers[*]", "paid": "paid | money"}) == {
        "on": date(2026, 11, 9),
        "modifiers": ["25", "59"],
        "paid": None,
    }
    assert EVENT.fields({"amount": "amount | money"}) == {"amount": Decimal("10.10")}


def test_a_value_that_is_no_date_is_refused_with_its_place_and_without_itself() -> None:
    with pytest.raises(ConversionError) as caught:
        EVENT.each("lines")[1].fields({"on": "code | date"})
    assert caught.value.where == "lines[1].code"
    assert "83036" not in str(caught.value)


def test_a_required_value_that_is_absent_is_named() -> None:
    with pytest.raises(FieldMissing, match=r"lines\[1\]\.on"):
        EVENT.each("lines")[1].required("on")


@pytest.mark.parametrize("path", ["a..b", "a[x]", "a[0", ".a", "a b"])
def test_a_path_with_a_typo_is_an_error_and_not_an_empty_text(path: str) -> None:
    with pytest.raises(PathError):
        EVENT.get(path)


@pytest.mark.parametrize("raw", [b"", b"[1]", b"{", b"\xff\xfe", b"<xml/>", b'"x"'])
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(EventError):
        Event.parse(raw)


def test_resources_are_found_in_bundles_within_bundles() -> None:
    inner = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Coverage", "id": "2"}}]}
    bundle = Event(
        {
            "resourceType": "Bundle",
            "entry": [{"resource": {"resourceType": "Coverage", "id": "1"}}, {"resource": inner}, {}, None],
        }
    )
    assert [found["id"] for found in bundle.resources("Coverage")] == ["1", "2"]
    assert [found.place for found in bundle.resources("Coverage")] == ["Coverage[1]", "Coverage[2]"]
    assert bundle.resource("Patient") is None


def test_identifiers_and_codes_are_chosen_by_system() -> None:
    item = Event(
        {
            "identifier": [{"system": "a", "value": "1"}, {"system": "b", "value": "2"}],
            "code": {"coding": [{"system": "cpt", "code": "99213"}, {"system": "mod", "code": "25"}]},
            "reason": [
                {"coding": [{"system": "icd", "code": "E11.9"}]},
                {"coding": [{"system": "icd", "code": "I10"}]},
            ],
            "account": [{"identifier": {"system": "acc", "value": "A1"}}],
        }
    )
    assert item.identifier("b") == "2"
    assert item.identifier("acc", "account.identifier") == "A1"
    assert item.codes("code", "cpt") == ["99213"]
    assert item.codes("reason", "icd") == ["E11.9", "I10"]
    with pytest.raises(FieldMissing):
        item.required_identifier("c")


def test_the_focus_of_a_notification_is_read_from_both_spellings() -> None:
    part = {"name": "focus", "valueReference": {"reference": "Encounter/1"}}
    r4 = {"resourceType": "Parameters", "parameter": [{"name": "notification-event", "part": [part]}]}
    r5 = {"resourceType": "SubscriptionStatus", "notificationEvent": [{"focus": {"reference": "Encounter/2"}}]}
    for status, expected in ((r4, "Encounter/1"), (r5, "Encounter/2")):
        assert Event({"resourceType": "Bundle", "entry": [{"resource": status}]}).focuses() == [expected]


def test_an_x12_file_says_from_whom_it_is_and_what_is_in_it() -> None:
    raw = Path(__file__).parents[1] / "channels/responses_in/acknowledgement/in.x12"
    file = X12File(raw.read_bytes())
    assert (file.kinds, file.sender, file.receiver, file.control_number, file.usage) == (
        ("999",),
        "CLEARWAY01",
        "ALDERST01",
        "000000301",
        "T",
    )


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "t.csv").write_text(text)
        return tmp_path

    return write


def test_a_table_gives_rows_by_key(csv: Callable[[str], Path]) -> None:
    with tables_from(csv("code,pos\nFM, 11 \nUCC,20\n")):
        departments = table("t.csv", key="code")
    row = departments.get("FM")
    assert row is not None
    assert (row["pos"], row.line, len(departments)) == ("11", 2, 2)
    assert departments.get("ZZ") is None
    with pytest.raises(TableError, match="no column"):
        row["place"]


@pytest.mark.parametrize(
    ("text", "what"),
    [("code\nA\nA\n", "stands twice"), ("other\nA\n", "no column"), ("code\nA,B\n", "more cells"), ("", "no column")],
)
def test_a_table_that_cannot_be_trusted_is_refused(csv: Callable[[str], Path], text: str, what: str) -> None:
    with tables_from(csv(text)), pytest.raises(TableError, match=what):
        table("t.csv", key="code")


def test_a_table_is_read_below_the_transforms_and_only_while_scripts_are_loaded(csv: Callable[[str], Path]) -> None:
    folder = csv("code\n")
    with pytest.raises(TableError, match="when the script is loaded"):
        table("t.csv", key="code")
    (folder / "in").mkdir()
    with tables_from(folder / "in"), pytest.raises(TableError, match="no such table"):
        table("../t.csv", key="code")
