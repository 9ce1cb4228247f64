"""What the lists and the status page say at a glance: why something failed, what stands still, and whose it is."""

from __future__ import annotations

from sqlalchemy import insert, update

from hub.core.clock import real_ms
from hub.store import tables

from .conftest import Seeder, World
from .test_people import limit, post

REFUSED = "The receiver refused the message: AE."


def refuse(world: World) -> int:
    """A message that one of its destinations refused; it says nothing itself."""
    seeder = Seeder(world.store, world.vault)
    seeder._sequence = 900
    with world.store.begin() as connection:
        message = seeder.message(connection, "results_to_ehr", "payment", "P-900", "{}", "errored", 1_000)
        seeder.delivery(
            connection, message, "results_to_ehr", "ehr", "DFT^P03", "MSH|", "refused", reason=REFUSED,
            tries=[("permanent", REFUSED)],
        )  # fmt: skip
    return message


def channel_row(page: str, name: str) -> str:
    """The row of a channel on the status page, with what is said beneath it."""
    rows = page.partition('id="h-ch"')[2].split("<tbody>")
    return next(row for row in rows if f'href="/channels/{name}"' in row)


def order(page: str) -> list[str]:
    """The channels of the status page from the top."""
    rows = page.partition('id="h-ch"')[2].split("<tbody>")[1:]
    return [row.partition('href="/channels/')[2].partition('"')[0] for row in rows if 'href="/channels/' in row]


def test_a_message_in_error_says_what_the_destination_said_that_refused_it(world: World) -> None:
    refuse(world)
    client = world.client("operator")
    assert f"ehr: {REFUSED}" in client.get("/messages?since=any&onward=errored").text
    assert f"ehr: {REFUSED}" in client.get("/messages/bulk?since=any&onward=errored&channel=results_to_ehr").text
    page = client.get("/channels/results_to_ehr").text
    assert f"ehr: {REFUSED}" in page
    assert "no reason kept" not in page


def test_a_queue_that_is_paused_is_told_no_time_in_which_it_clears(world: World) -> None:
    seeder = Seeder(world.store, world.vault)
    seeder._sequence = 900
    minute = real_ms() // 60_000
    with world.store.begin() as connection:
        message = seeder.message(connection, "results_to_ehr", "payment", "P-900", "{}", "in progress", 1_000)
        seeder.delivery(connection, message, "results_to_ehr", "ehr", "DFT^P03", "MSH|", "queued")
        connection.execute(
            update(tables.delivery).where(tables.delivery.c.state == "ambiguous").values(state="delivered")
        )
        values = {"channel": "results_to_ehr", "minute": minute, "received": 0, "done": 60, "latency_ms": 60}
        connection.execute(insert(tables.rate).values(**values))
    client = world.client("operator")
    assert "clears in" in channel_row(client.get("/").text, "results_to_ehr")
    post(client, "/channels/results_to_ehr/pause", destination="ehr", reason="The EHR is being upgraded")
    page = client.get("/").text
    assert "clears in" not in channel_row(page, "results_to_ehr")
    assert "“The EHR is being upgraded.” 1 waits" in client.get("/channels/results_to_ehr").text.replace(
        "</strong>", ""
    )
    running = [name for name in order(page) if "Running" in channel_row(page, name)]
    assert running[0] == "results_to_ehr"


def test_the_channels_table_says_how_the_connections_stand_and_whom_to_ask(world: World) -> None:
    page = world.client("operator").get("/").text
    assert "listening, 2 connected" in channel_row(page, "ehr_visits")
    assert "out: 1 login failed, 1 idle" in channel_row(page, "claims_out")
    assert "Owner: billing@alder.example." in channel_row(page, "claims_out")


def test_a_starred_channel_stands_first_among_its_like_and_can_be_shown_alone(world: World) -> None:
    client = world.client("operator")
    quiet = [name for name in order(client.get("/").text) if name != "claims_out"]
    post(client, f"/channels/{quiet[-1]}/star")
    page = client.get("/").text
    assert "Starred: " in channel_row(page, quiet[-1])
    assert order(client.get("/?starred=1").text) == [quiet[-1]]
    post(client, f"/channels/{quiet[-1]}/star")
    assert "Starred: " not in client.get("/").text
    assert "There is no channel of that name" in post(client, "/channels/nothing/star")


def test_who_is_for_some_channels_is_told_of_nothing_else(world: World) -> None:
    whole, narrowed = (
        world.client("manager").get("/").text,
        limit(world, "operator", channels="ehr_visits").get("/").text,
    )
    assert "The store takes" in whole
    for words in ("The store takes", "no 835 in time", "denied by", "clearway"):
        assert words not in narrowed


def test_why_an_alert_is_quiet_stands_on_the_status_page(world: World) -> None:
    client = world.client("operator")
    said = post(client, "/alerts/snooze", key="queue/denials", minutes="60", reason="x")
    assert "Say why it may be quiet." in said
    post(client, "/alerts/snooze", key="queue/denials", minutes="60", reason="The payer answers tomorrow")
    assert "The payer answers tomorrow" in client.get("/").text


def test_a_work_item_shows_the_lines_that_it_is_about(world: World) -> None:
    client = world.client("biller")
    charge = client.get(f"/queues/items/{world.ids['held_item']}").text
    assert "The charge" in charge
    assert "99213" in charge.partition("The charge")[2]
    item = tables.work_item.c.id == world.ids["item0"]
    with world.store.begin() as connection:
        connection.execute(update(tables.work_item).where(item).values(claim_id=world.ids["H7K2M9Q4A1"]))
    claim = client.get(f"/queues/items/{world.ids['item0']}").text
    assert "The lines of the claim" in claim
    assert "83036" in claim.partition("The lines of the claim")[2]


def test_a_message_leads_to_what_billing_made_of_it(world: World) -> None:
    client = world.client("biller")
    assert f'href="/claims/{world.ids["H7K2M9Q4A1"]}"' in client.get(f"/messages/{world.ids['batch_message']}").text
    assert f'href="/remittances/{world.ids["remittance"]}"' in client.get(f"/messages/{world.ids['835']}").text
    assert f'href="/accounts/{world.ids["patient"]}"' in client.get(f"/messages/{world.ids['message']}").text
    narrowed = limit(world, "biller", channels="ehr_visits")
    assert "/accounts/" not in narrowed.get(f"/messages/{world.ids['message']}").text
