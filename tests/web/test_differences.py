"""Any two contents of a message, compared."""

from __future__ import annotations

import json

from sqlalchemy import select, update

from hub.store import tables
from hub.web.differences import difference

from .conftest import HL7, X12, World


def test_contents_of_one_form_are_compared_place_by_place() -> None:
    raw = HL7.format(control="A1").encode()
    found = difference(raw, raw.replace(b"99213", b"99214").replace(b"|25\r", b"|25~59\r"))
    assert found.by_place
    assert [(c.place, "".join(p.text for p in c.was), "".join(p.text for p in c.now)) for c in found.changes] == [
        ("FT1[1]-25", "99213", "99214"),
        ("FT1[1]-26", "25", ""),
        ("FT1[1]-26[1]", "", "25"),
        ("FT1[1]-26[2]", "", "59"),
    ]
    sent = difference(X12.encode(), X12.replace("HC:99213:25", "HC:99214:25").encode())
    assert [change.place for change in sent.changes] == ["SV1 1"]


def test_of_two_forms_what_is_new_is_told_and_patient_data_stays_marked() -> None:
    raw = HL7.format(control="A1").encode()
    mapped = json.dumps(
        [{"type": "Charge", "fields": {"code": "99213", "mrn": "00718822", "units": "3 of 4"}}]
    ).encode()
    found = difference(raw, mapped)
    assert not found.by_place
    assert found.same == 1
    assert {change.place: change.now[0].what for change in found.changes} == {
        "1, type": "", "1, fields, mrn": "mrn", "1, fields, units": ""
    }  # fmt: skip


def test_the_tab_compares_what_the_address_names_masked(world: World) -> None:
    client = world.client("viewer")
    path = f"/messages/{world.ids['message']}/diff"
    page = client.get(path).text
    assert "the two are of different forms" in page
    keys = page.split('name="to"')[1].split("</select>")[0]
    assert "Outgoing to billing, values" in keys
    assert "What we answered" in keys
    same = page.split('<option value="')[1].split('"')[0]
    assert "Nothing differs" in client.get(f"{path}?from={same}&to={same}").text
    assert "QUINTERO" not in page


def test_who_is_compared_with_another_message_is_recorded_under_that_one(world: World) -> None:
    message = tables.message
    with world.store.begin() as connection:
        other = connection.execute(
            select(message.c.id, message.c.raw_id).where(message.c.channel == "ehr_visits").limit(1)
        ).one()
        connection.execute(
            update(message).where(message.c.id == other.id).values(parent_id=world.ids["message"], relation="replayed")
        )
    world.client("viewer").get(f"/messages/{world.ids['message']}/diff?to={other.raw_id}")
    with world.store.connect() as connection:
        seen = connection.execute(select(tables.audit.c.object_id).where(tables.audit.c.object_type == "message"))
        assert {str(other.id), str(world.ids["message"])} <= set(seen.scalars())
