"""What pages show and hide, and what they ask the engine for."""

from __future__ import annotations

import json
import re

import pytest
from sqlalchemy import insert, select, update

from hub.security.audit import verify
from hub.store import tables

from .conftest import SCRIPT, World, csrf_of

SECRETS = (
    "QUINTERO",
    "Quintero",
    "MARISOL",
    "Marisol",
    "00718821",
    "A-104421",
    "19710214",
    "1971-02-14",
    "12 ELM",
    "MEM778812",
    "NO COPAY",
)


def pages_with_patients(world: World) -> list[str]:
    ids = world.ids
    return [
        "/",
        "/messages?since=any",
        *(
            f"/messages/{ids['message']}{tab}"
            for tab in ("", "/raw", "/parsed", "/mapped", "/outgoing", "/answer", "/log")
        ),
        f"/messages/{ids['message']}/replay",
        f"/messages/{ids['ambiguous_message']}/outgoing",
        f"/messages/{ids['batch_message']}/parsed",
        f"/messages/{ids['batch_message']}/raw",
        f"/messages/{ids['rejected']}/raw",
        f"/claims/{ids['H7K2M9Q4A1']}",
        f"/claims/{ids['H7K2M9Q4A1']}/837",
        "/accounts",
        f"/accounts/{ids['patient']}",
        "/queues/denials",
        f"/queues/items/{ids['item0']}",
        "/remittances",
        f"/remittances/{ids['remittance']}",
        "/claims",
        "/channels/results_to_ehr",
        "/audit",
        "/status.json",
    ]


def reveal(client, reason: str = "patient on the phone"):  # type: ignore[no-untyped-def]
    return client.post("/reveal", data={"csrf": csrf_of(client.get("/me")), "reason": reason, "next": "/"})


def test_no_page_shows_a_patient_before_a_reason_was_given(world: World) -> None:
    client = world.client("everything")
    for path in pages_with_patients(world):
        page = client.get(path)
        assert page.status_code == 200, path
        for secret in SECRETS:
            assert secret not in page.text, (path, secret)


def test_revealing_with_a_reason_shows_patient_data_and_hiding_masks_it_again(world: World) -> None:
    client = world.client("everything")
    assert reveal(client, "curious").status_code == 422
    assert "QUINTERO" not in client.get(f"/messages/{world.ids['message']}/raw").text
    assert reveal(client).status_code == 303
    assert "QUINTERO" in client.get(f"/messages/{world.ids['message']}/raw").text
    assert "Quintero, Marisol" in client.get(f"/accounts/{world.ids['patient']}").text
    client.post("/hide", data={"csrf": csrf_of(client.get("/me")), "next": "/"})
    assert "QUINTERO" not in client.get(f"/messages/{world.ids['message']}/raw").text


def test_text_from_a_message_is_never_markup_even_when_it_is_revealed(world: World) -> None:
    client = world.client("everything")
    reveal(client)
    for path in pages_with_patients(world):
        assert SCRIPT not in client.get(path).text, path
    assert "&lt;script&gt;" in client.get(f"/messages/{world.ids['message']}/raw").text


def test_every_look_at_something_of_a_patient_is_recorded_in_a_chain_that_verifies(world: World) -> None:
    client = world.client("everything")
    reveal(client)
    for path in (
        f"/messages/{world.ids['message']}",
        f"/claims/{world.ids['H7K2M9Q4A1']}",
        f"/accounts/{world.ids['patient']}",
        "/messages?q=A-104421",
    ):
        client.get(path)
    with world.store.connect() as connection:
        kept = connection.execute(select(tables.audit).order_by(tables.audit.c.sequence)).all()
        assert verify(connection).broken is None
    looks = [(row.action, row.object_type, row.patient_id, row.reason) for row in kept[-4:]]
    patient = world.ids["patient"]
    assert looks == [
        ("view", "message", patient, "patient on the phone"),
        ("view", "claim", patient, "patient on the phone"),
        ("view", "account", patient, "patient on the phone"),
        ("search", "messages", None, "patient on the phone"),
    ]
    assert "A-104421" not in repr(kept)
    assert client.get("/audit?verify=1").text.count("Every record fits")


def test_when_looks_cannot_be_recorded_nothing_is_revealed(world: World) -> None:
    client = world.client("everything")
    reveal(client)
    world.engine.stop()
    page = client.get(f"/messages/{world.ids['message']}/raw")
    assert page.status_code == 200
    assert "QUINTERO" not in page.text
    assert "Looks cannot be recorded" in page.text


def test_without_the_engine_the_status_page_says_so_and_machines_are_told(world: World) -> None:
    client = world.client("viewer")
    world.engine.stop()
    page = client.get("/")
    assert page.status_code == 200
    assert "not running" in page.text
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("term", ["A-104421", "00718821", "Quintero, Marisol", "quintero marisol", "MSG00004471"])
def test_a_message_is_found_by_control_id_account_record_number_and_name(world: World, term: str) -> None:
    page = world.client("operator").get("/messages", params={"q": term, "since": "any"})
    assert page.text.count("<tr data-row>") == 1
    assert f"/messages/{world.ids['message']}" in page.text


@pytest.mark.parametrize("term", ["A-104421", "00718821", "Quintero, Marisol"])
def test_an_account_is_found_by_number_record_number_and_name_and_the_search_is_recorded(
    world: World, term: str
) -> None:
    client = world.client("biller")
    assert f"/accounts/{world.ids['patient']}" in client.get("/accounts", params={"q": term}).text
    assert "No account was found" in client.get("/accounts", params={"q": f"{term}x"}).text
    with world.store.connect() as connection:
        assert connection.scalars(select(tables.audit.c.action)).all().count("search") == 2


def test_who_may_not_search_for_patients_finds_control_ids_only(world: World) -> None:
    client = world.client("engineer")
    assert "No message was found" in client.get("/messages?q=A-104421&since=any").text
    assert f"/messages/{world.ids['message']}" in client.get("/messages?q=MSG00004471&since=any").text


def test_pages_of_the_list_follow_each_other_without_gap_or_repeat(world: World) -> None:
    client = world.client("viewer")
    seen: list[str] = []
    path = "/messages?since=any"
    while path:
        page = client.get(path).text
        seen += re.findall(r'<th scope="row" class="mono"><a href="/messages/(\d+)"', page)
        older = re.search(r'<a href="([^"]+)">Older</a>', page)
        path = older[1].replace("&amp;", "&") if older else ""
    with world.store.connect() as connection:
        everything = [
            str(i) for i in connection.scalars(select(tables.message.c.id).order_by(tables.message.c.sequence.desc()))
        ]
    assert seen == everything


def test_the_balance_of_the_status_page_is_an_equation_and_a_gap_is_an_alert(world: World) -> None:
    client = world.client("viewer")
    assert "Everything received is accounted for" in client.get("/").text
    counter = tables.counter
    with world.store.begin() as connection:
        connection.execute(
            update(counter)
            .where(counter.c.channel == "ehr_visits", counter.c.name == "done")
            .values(value=counter.c.value - 2)
        )
    page = client.get("/").text
    assert "does not account for 2 of its messages" in page
    assert (
        next(c for c in client.get("/status.json").json()["channels"] if c["name"] == "ehr_visits")["difference"] == 2
    )


def test_a_channel_is_paused_only_with_a_reason_and_resumed(world: World) -> None:
    client = world.client("operator")
    csrf = csrf_of(client.get("/me"))
    assert client.post("/channels/ehr_visits/pause", data={"csrf": csrf, "reason": "x"}).status_code == 422
    fields = {"csrf": csrf, "reason": "The EHR is being upgraded.", "destination": ""}
    assert client.post("/channels/ehr_visits/pause", data=fields).status_code == 303
    assert "The EHR is being upgraded." in client.get("/").text
    assert client.post("/channels/ehr_visits/resume", data={"csrf": csrf}).status_code == 303
    assert "The EHR is being upgraded." not in client.get("/").text


def test_a_replay_names_what_is_sent_needs_a_reason_and_its_token_works_once(world: World) -> None:
    client = world.client("operator")
    path = f"/messages/{world.ids['ambiguous_message']}/replay"
    page = client.get(path)
    assert "may already have it" in page.text
    assert "closed the connection after the last byte" in page.text
    token = re.search(r'name="token" value="([^"]+)"', page.text)[1]  # type: ignore[index]
    fields = {"csrf": csrf_of(page), "token": token, "stage": str(world.ids["ambiguous"]), "reason": "short"}
    assert client.post(path, data=fields).status_code == 422
    fields["reason"] = "The EHR says it never arrived."
    assert client.post(path, data=fields).status_code == 303
    again = client.post(path, data=fields)
    assert again.status_code == 422
    assert "This was already done." in again.text
    asked = [args for command, args, _ in world.engine.asked if command == "replay"]
    assert asked[0] == {
        "message_id": world.ids["ambiguous_message"],
        "from": "delivery",
        "delivery_id": world.ids["ambiguous"],
        "reason": "The EHR says it never arrived.",
        "token": token,
    }


def test_the_replay_of_a_claim_says_that_it_can_bill_twice(world: World) -> None:
    page = world.client("operator").get(f"/messages/{world.ids['batch_message']}/replay")
    assert "This can bill twice" in page.text


def test_a_delivery_that_arrived_is_closed_without_sending(world: World) -> None:
    client = world.client("operator")
    csrf = csrf_of(client.get("/me"))
    fields = {"csrf": csrf, "reason": "The EHR shows the posting."}
    assert client.post(f"/deliveries/{world.ids['ambiguous']}/close", data=fields).status_code == 303
    assert (
        "close_delivery",
        {"delivery_id": world.ids["ambiguous"], "reason": "The EHR shows the posting."},
        "operator",
    ) in world.engine.asked


def test_a_work_item_is_commented_taken_and_resolved_and_two_people_cannot_overwrite_each_other(world: World) -> None:
    client = world.client("biller")
    path = f"/queues/items/{world.ids['item0']}"
    page = client.get(path)
    csrf, version = csrf_of(page), re.search(r'name="version" value="(\d+)"', page.text)[1]  # type: ignore[index]
    assert (
        client.post(f"{path}/comment", data={"csrf": csrf, "text": "The number was on the referral."}).status_code
        == 303
    )
    assert (
        client.post(f"{path}/assign", data={"csrf": csrf, "version": version, "assignee": "biller"}).status_code == 303
    )
    stale = client.post(f"{path}/resolve", data={"csrf": csrf, "version": version, "resolution": "appealed"})
    assert stale.status_code == 422
    assert "Somebody changed this since you opened it." in stale.text
    page = client.get(path)
    assert "The number was on the referral." in page.text
    version = re.search(r'name="version" value="(\d+)"', page.text)[1]  # type: ignore[index]
    done = client.post(
        f"{path}/resolve", data={"csrf": csrf, "version": version, "resolution": "appealed", "note": "sent by mail"}
    )
    assert done.headers["location"].startswith("/queues/denials")
    assert "authorization number is missing" not in client.get("/queues/denials").text


def test_a_held_claim_is_approved_with_the_version_that_was_seen(world: World) -> None:
    client = world.client("biller")
    claim_id = world.ids["P8W3N6D5R2"]
    page = client.get(f"/claims/{claim_id}")
    version = re.search(r'name="version" value="(\d+)"', page.text)[1]  # type: ignore[index]
    assert (
        client.post(f"/claims/{claim_id}/approve", data={"csrf": csrf_of(page), "version": version}).status_code == 303
    )
    assert (
        "billing",
        {"name": "approve_claim", "args": {"claim_id": claim_id, "version": version}},
        "biller",
    ) in world.engine.asked


def test_a_claim_that_its_payer_has_is_voided_from_its_page_with_a_reason(world: World) -> None:
    client = world.client("biller")
    claim_id = world.ids["H7K2M9Q4A1"]
    page = client.get(f"/claims/{claim_id}")
    assert "Void the claim" in page.text
    assert "Void the claim" not in client.get(f"/claims/{world.ids['P8W3N6D5R2']}").text  # it was not sent
    sent = {"csrf": csrf_of(page), "version": "1"}
    assert "Say why, in a few words." in client.post(f"/claims/{claim_id}/void", data={**sent, "reason": "no"}).text
    asked = len(world.engine.asked)
    done = client.post(f"/claims/{claim_id}/void", data={**sent, "reason": "the wrong provider"})
    assert done.headers["location"] == f"/claims/{claim_id}?said=voiding"
    args = {"claim_id": claim_id, "version": "1", "reason": "the wrong provider"}
    assert world.engine.asked[asked:] == [("billing", {"name": "void_claim", "args": args}, "biller")]
    viewer = world.client("viewer")
    refused = viewer.post(
        f"/claims/{claim_id}/void", data={**sent, "csrf": csrf_of(viewer.get("/me")), "reason": "x" * 9}
    )
    assert refused.status_code == 403


def test_the_parts_of_a_claim_that_its_payer_took_apart_stand_on_its_page_against_the_claim(world: World) -> None:
    claim_id = world.ids["H7K2M9Q4A1"]
    path = f"/claims/{claim_id}"
    assert "took the claim apart" not in world.client("biller").get(path).text
    split = {"category": "A5", "payer_claim_number": "LH-26-SECOND", "level": "payer"}
    with world.store.execution_options(writes=True).begin() as connection:
        payment = tables.remittance_claim
        connection.execute(update(payment).where(payment.c.id == world.ids["payment"]).values(charge_cents=15_000))
        event = select(tables.claim_event).where(tables.claim_event.c.claim_id == claim_id)
        row = dict(connection.execute(event).mappings().first() or {})
        row |= {"id": 990_001, "event_key": f"{claim_id}/split", "kind": "claim_ack", "detail": json.dumps(split)}
        connection.execute(insert(tables.claim_event).values(**row))
    page = world.client("biller").get(path).text
    table = page[page.index("The parts into which the payer took the claim") :].partition("</table>")[0]
    rows = [re.sub(r"<[^>]+>", " ", each).split() for each in re.findall(r"<tr>(.*?)</tr>", table)[1:]]
    assert rows == [
        ["LH-26-4410937", "paid", "150.00", "120.00", "35.00"],
        ["LH-26-SECOND", "not", "decided,", "last", "status", "A5", "not", "told"],
    ]
    assert "65.00 of 215.00 is in none yet" in re.sub(r"<[^>]+>", "", page)


def test_a_payers_page_shows_how_it_takes_long_stays_and_late_charges(world: World) -> None:
    page = re.sub(r"<[^>]+>", " ", world.client("biller").get("/payers/60054").text)
    words = " ".join(page.split())
    assert "Long stays billed every 30 days" in words
    assert "Late hospital charges on a bill of their own (5)" in words


def test_a_claim_and_its_lines_add_up_on_the_page(world: World) -> None:
    client = world.client("biller")
    path = f"/claims/{world.ids['H7K2M9Q4A1']}"
    page = client.get(path).text
    sides = re.findall(r'<span class="k">(\w+)</span><span class="v[^"]*">(?:<span class="nil">)?([\d.,]+)', page)
    assert dict(sides) == {
        "Charge": "215.00",
        "Paid": "120.00",
        "Contract": "60.00",
        "Patient": "35.00",
        "Other": "0.00",
        "Open": "0.00",
        "Difference": "0.00",
    }
    posting = tables.ledger_posting
    with world.store.begin() as connection:
        connection.execute(
            update(posting)
            .where(posting.c.account == "contractual", posting.c.amount_cents == 3_500)
            .values(amount_cents=3_000)
        )
    assert "≠ 5.00" in client.get(path).text


def test_a_remittance_is_checked_anew_at_every_level_and_a_held_one_says_where_it_is_uneven(world: World) -> None:
    client = world.client("biller")
    even = client.get(f"/remittances/{world.ids['remittance']}").text
    levels = even.split('id="h-b"')[1].split("</section>")[0]
    assert levels.count("Balanced") == 4
    assert "Service lines" in levels
    assert "CO-45" in even
    held = client.get(f"/remittances/{world.ids['held_remittance']}").text
    assert "Nothing of it is posted." in held
    uneven = held.split('id="h-b"')[1].split("</section>")[0]
    assert "A line&#39;s charge less its adjustments must be what was paid for it (K4T9X2B7M1)." in uneven
    assert "25.00" in uneven


def test_the_837_of_a_claim_shows_its_own_people_and_nobody_elses(world: World) -> None:
    client = world.client("everything")
    reveal(client)
    own = client.get(f"/claims/{world.ids['H7K2M9Q4A1']}/837").text
    assert "QUINTERO" in own
    assert "ALDER STREET CLINIC" in own
    assert "ZUNIGA" not in own
    assert "Z9Z9Z9Z9Z9" not in own
    assert "ZUNIGA" in client.get(f"/messages/{world.ids['batch_message']}/raw").text


def test_a_look_at_many_patients_names_each_of_them_once_they_are_revealed(world: World) -> None:
    client = world.client("everything")
    client.get(f"/messages/{world.ids['batch_message']}/raw")
    reveal(client)
    client.get("/accounts")
    audit = tables.audit
    with world.store.connect() as connection:
        looks = connection.execute(
            select(audit.c.object_type, audit.c.patient_id).where(audit.c.action != "login")
        ).all()
    assert ("message", world.ids["patient"]) in looks
    listed = {patient for kind, patient in looks if kind == "accounts"}
    assert listed == {world.ids["patient"], world.ids["merged_patient"]}


def test_a_merged_record_leads_to_the_one_that_it_became(world: World) -> None:
    client = world.client("biller")
    answer = client.get(f"/accounts/{world.ids['merged_patient']}")
    assert answer.headers["location"] == f"/accounts/{world.ids['patient']}?said=merged"
    with world.store.begin() as connection:
        connection.execute(update(tables.claim).values(patient_id=world.ids["merged_patient"]))
    client = world.client("everything")
    reveal(client)
    assert "Quintero, Marisol" in client.get(f"/claims/{world.ids['H7K2M9Q4A1']}").text
    with world.store.connect() as connection:
        last = connection.execute(select(tables.audit).order_by(tables.audit.c.sequence.desc()).limit(1)).one()
    assert last.patient_id == world.ids["patient"]


def test_the_public_keys_are_there_for_anybody(world: World) -> None:
    answer = world.client().get("/.well-known/jwks.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.json() == {"keys": []}


def test_figures_for_machines_name_channels_and_nobody(world: World) -> None:
    text = world.client().get("/metrics").text
    assert 'hub_messages{channel="ehr_visits",outcome="rejected"} 1' in text
    assert 'hub_waiting{channel="claims_out",destination="clearway"} 3' in text
    assert re.search(r'^hub_last_received_timestamp_seconds{channel="ehr_visits"} \d{10}$', text, re.MULTILINE)
    sent = r'^hub_last_sent_timestamp_seconds{channel="claims_out",destination="\w+"} \d{10}'
    assert re.search(sent, text, re.MULTILINE)
    assert not any(secret in text for secret in SECRETS)


def test_live_updates_send_the_figures_and_then_only_what_changed(world: World) -> None:
    client = world.client("viewer")
    site_form = csrf_of(client.get("/me"))
    assert site_form
    import threading

    received: list[dict[str, str]] = []

    def change() -> None:
        with world.store.begin() as connection:
            counter = tables.counter
            connection.execute(
                update(counter).where(counter.c.channel == "ehr_visits", counter.c.name == "received").values(value=900)
            )

    def end() -> None:
        with world.store.begin() as connection:
            connection.execute(tables.session.delete())

    timers = [threading.Timer(0.5, change), threading.Timer(1.6, end)]
    for timer in timers:
        timer.start()
    with client.stream("GET", "/live/status?period=all") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        received += [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    for timer in timers:
        timer.join()
    assert received[0]["claims_out/waiting"] == "3"
    assert any(part.get("ehr_visits/received") == "900" for part in received[1:])
    assert received[-1] == {"over": True}


def test_an_address_that_does_not_exist_gets_a_page_that_helps(world: World) -> None:
    client = world.client("viewer")
    for path in (
        "/nowhere",
        "/messages/1",
        "/messages/abc",
        "/claims/99999999999999999999999",
        "/channels/nothing",
        "/queues/nothing",
    ):
        page = client.get(path)
        assert page.status_code == 404, path
        assert "<h1>" in page.text
