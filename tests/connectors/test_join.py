from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import delete, update

from hub.connectors.join import CONNECTOR, Join, JoinSettings
from hub.core.clock import BusinessClock
from hub.engine.contracts import WorkerSite
from hub.site.check import check_site
from hub.site.describe import describer
from hub.site.load import load_site
from hub.store.tables import content, message
from tests.cli.at_work import Kept
from tests.connectors.peers import FakeWorkers, Surroundings, within


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A store in which the channel `items` has three messages, and others have some too."""
    made = Kept(tmp_path / "site")
    made.keep("items", "ORU^R01", "M1", b"MSH|^~\\&|one\r")
    made.keep("items", "row", "2", b'{"amount": 12.50, "id": 2}')
    made.keep("other", "row", "3", b'{"id": 3}')
    made.keep("items", "row", "4", b"caf\xe9")
    return made


def joining(around: Surroundings, kept: Kept, **options: Any) -> Join:
    settings = JoinSettings.model_validate({"channel": "items", "poll": "20ms", **options})
    site = WorkerSite(around.folder, around.folder, around.secrets, kept._vault, BusinessClock(), kept.store)
    context = replace(around.source(CONNECTOR, describe=describer("json", "any")), workers=FakeWorkers(CONNECTOR, site))
    return Join(settings, context)


async def looked(source: Join) -> None:
    source._running = True
    await source.look()
    await within(source.stop())


@pytest_twisted.ensureDeferred
async def test_what_a_channel_received_is_one_message_once(around: Surroundings, kept: Kept) -> None:
    await looked(joining(around, kept))
    await looked(joining(around, kept))
    (received,) = around.intake.received
    assert received.description.kind == "joined"
    assert b'{"amount":12.50,"id":2}' in received.raw, "decimals keep their places"
    document = json.loads(received.raw)
    assert document["items"] == ["MSH|^~\\&|one\r", {"amount": 12.5, "id": 2}, "café"]
    assert (document["count"], len(document["messages"])) == (3, 3)
    kept.keep("items", "row", "5", b'{"id": 5}')
    await looked(joining(around, kept))
    assert json.loads(around.intake.received[-1].raw)["items"] == [{"id": 5}]


@pytest_twisted.ensureDeferred
async def test_how_many_go_together_is_for_the_channel_to_say(around: Surroundings, kept: Kept) -> None:
    counts: dict[str, list[int]] = {}
    choices: dict[str, dict[str, Any]] = {
        "kinds": {"kinds": ["row"]},
        "batch": {"batch": 2},
        "size": {"max_message": "10B"},
        "few": {"at_least": 4},
    }
    for name, options in choices.items():
        around.intake.received.clear()
        await looked(joining(around, kept, name=name, **options))
        counts[name] = [json.loads(each.raw)["count"] for each in around.intake.received]
    assert counts == {"kinds": [2], "batch": [2, 1], "size": [1, 1, 1], "few": []}


@pytest_twisted.ensureDeferred
async def test_what_could_not_be_stored_is_joined_again(around: Surroundings, kept: Kept) -> None:
    around.intake.failing = RuntimeError("no store")
    source = joining(around, kept)
    source.start()
    await around.intake.arrived(1)
    around.intake.failing = None
    await around.intake.arrived(2)
    await within(source.stop())
    assert {item.raw for item in around.intake.received} == {around.intake.received[0].raw}


@pytest_twisted.ensureDeferred
async def test_refused_and_pruned_messages_are_left_out(around: Surroundings, kept: Kept) -> None:
    with kept.store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(update(message).where(message.c.control_id == "M1").values(onward="rejected"))
        pruned = connection.execute(message.select().where(message.c.control_id == "2")).one()
        connection.execute(delete(content).where(content.c.id == pruned.raw_id))
    await looked(joining(around, kept))
    assert json.loads(around.intake.received[0].raw)["items"] == ["café"]


def test_a_channel_that_is_joined_needs_no_step_and_must_be_there(kept: Kept) -> None:
    head = 'schema = 1\nname = "{0}"\ntitle = "{0}"\nowner = "integration@clinic.example"\n[source]\n'
    out = '[destination.out]\ntype = "files"\nfolder = "var"\norder = "any"\nambiguous = "retry"\n'
    step = '[[step]]\nname = "all"\non = ["joined"]\nforward = ["out"]\n'
    (kept.folder / "channels/items.toml").write_text(head.format("items") + 'type = "channel"\n')
    daily = kept.folder / "channels/daily.toml"
    daily.write_text(head.format("daily") + 'type = "join"\nchannel = "items"\n' + step + out)
    assert not [found for found in check_site(load_site(kept.folder)) if found.level == "error"]
    daily.write_text(daily.read_text().replace('"items"', '"itmes"'))
    codes = {found.code for found in check_site(load_site(kept.folder)) if found.level == "error"}
    assert codes == {"H231", "H207"}
