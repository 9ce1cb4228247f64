"""What is done with everything that a search finds."""

from __future__ import annotations

import csv
import io
import re

from sqlalchemy import select

from hub.store import tables

from .conftest import World


def test_a_search_is_replayed_once_message_by_message_with_a_token_each(world: World) -> None:
    client = world.client("operator")
    path = "/messages/bulk?since=any&onward=held"
    page = client.get(path).text
    assert "Replay 2 messages" in page
    form = re.search(r'action="([^"]+bulk[^"]+)"(.*?)</form>', page, re.DOTALL)
    assert form
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form[2])) | {"rate": "20"}
    address = form[1].replace("&amp;", "&")
    assert client.post(address, data={**fields, "reason": "short"}).status_code == 422
    done = client.post(address, data={**fields, "reason": "The table is corrected."})
    assert "2 sent again" in done.text
    again = client.post(address, data={**fields, "reason": "The table is corrected."})
    assert "0 sent again" in again.text
    assert "This was already done." in again.text
    asked = [args for command, args, _ in world.engine.asked if command == "replay"]
    assert {each["message_id"] for each in asked} == {world.ids["held"], world.ids["ambiguous_message"]}
    assert len({each["token"] for each in asked}) == 2


def test_a_search_that_finds_others_than_it_showed_replays_nothing(world: World) -> None:
    client = world.client("operator")
    page = client.get("/messages/bulk?since=any&onward=held").text
    fields = dict(re.findall(r'type="hidden" name="(csrf|token)" value="([^"]*)"', page))
    answer = client.post(
        "/messages/bulk?since=any&onward=held", data={**fields, "count": "5", "reason": "The table is corrected."}
    )
    assert "other messages than before" in answer.text
    assert all(command != "replay" for command, _, _ in world.engine.asked)


def test_an_export_holds_what_the_search_finds_and_is_recorded(world: World) -> None:
    client = world.client("viewer")
    rows = list(csv.DictReader(io.StringIO(client.get("/messages.csv?since=any&onward=rejected").text[1:])))
    assert [row["Message"] for row in rows] == [str(world.ids["rejected"])]
    with world.store.connect() as connection:
        assert connection.scalars(select(tables.audit.c.action)).all().count("export") == 1
