"""What needs a person: each cause by itself, and one list of them for the status page, the command and what is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import insert, update

from hub.core.clock import real_ms
from hub.store import tables
from hub.store.database import reading
from hub.web.alerting import look_at
from hub.web.channel_view import ask_engine
from hub.web.control import Control
from hub.web.needs import Need
from hub.web.queries.channels import missed

from .conftest import Seeder, World

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def causes(world: World) -> dict[str, Need]:
    engine, problem = ask_engine(Control(world.settings.control_socket), "test")
    with reading(world.store) as connection:
        return {need.key: need for need in look_at(connection, world.settings, engine, problem)}


def on_channel(world: World, name: str, **values: object) -> None:
    channels = tuple(
        replace(each, **values) if each.name == name else each  # type: ignore[arg-type]
        for each in world.settings.channels
    )
    world.settings = replace(world.settings, channels=channels)


def test_the_status_page_and_what_is_sent_know_a_cause_by_the_same_key(world: World) -> None:
    on_channel(world, "claims_out", queue_age=1.0)
    page = world.client("operator").get("/").text
    found = causes(world)
    assert {"connection/claims_out/clearway", "queue age/claims_out/clearway", "queue/denials"} <= found.keys()
    for key in ("connection/claims_out/clearway", "queue age/claims_out/clearway"):
        assert found[key].sentence.split(":")[0] in page
    assert not found["connection/claims_out/clearway"].work
    assert found["queue/denials"].work


def test_what_is_missed_of_claims_that_were_sent_is_a_cause_for_each_kind_of_answer(world: World) -> None:
    seeder = Seeder(world.store, world.vault)
    with world.store.begin() as connection:
        kinds = ("no acknowledgement", "no claim acknowledgement", "no decision", "no decision")
        for number, kind in enumerate(kinds):
            seeder.put(
                connection, "work_item", queue="lost claims", item_key=f"lost{number}", kind=kind, sentence="Silent.",
                money_cents=1_000, opened_business_at=1, state="open", body={},
            )  # fmt: skip
    found = causes(world)
    assert [found[key].sentence for key in ("no 999", "no 277CA", "no 835")] == [
        "1 batch has no 999 in time.",
        "1 batch has no 277CA in time.",
        "2 claims have no 835 in time.",
    ]
    assert found["no 835"].first.startswith("Worth 20.00.")


@pytest.mark.parametrize(("ago", "expected"), [(30 * MINUTE, True), (2 * HOUR, False)])
def test_errors_count_within_their_window(world: World, ago: int, expected: bool) -> None:
    message = tables.message
    with world.store.begin() as connection:
        connection.execute(update(message).values(onward="done"))
        of_one = message.c.id == world.ids["message"]
        connection.execute(update(message).where(of_one).values(onward="errored", received_at=real_ms() - ago))
    assert ("errors/ehr_visits" in causes(world)) is expected
    on_channel(world, "ehr_visits", errors=2)
    assert "errors/ehr_visits" not in causes(world)


@pytest.fixture
def came(world: World) -> Callable[[int, int], None]:
    """Say that a channel received one message a minute from one time on until another."""

    def put(begins: int, ends: int) -> None:
        minutes = range(begins // MINUTE, ends // MINUTE)
        rows = [{"channel": "lab", "minute": each, "received": 1, "done": 0, "latency_ms": 0} for each in minutes]
        with world.store.begin() as connection:
            connection.execute(insert(tables.rate), rows)

    return put


def is_missed(world: World, last_in: int, now: int, after_ms: int | None) -> bool:
    with reading(world.store) as connection:
        return bool(missed(connection, "lab", last_in, now, after_ms))


@pytest.mark.parametrize("after_ms", [None, 2 * HOUR])
def test_a_feed_is_quiet_only_at_hours_at_which_something_came_a_week_before(
    world: World, came: Callable[[int, int], None], after_ms: int | None
) -> None:
    opens = (real_ms() // DAY) * DAY
    closes = opens + 10 * HOUR
    came(opens - 7 * DAY, closes - 7 * DAY)
    came(opens - 8 * DAY, closes - 8 * DAY)
    assert is_missed(world, opens + HOUR, opens + 4 * HOUR, after_ms)
    assert not is_missed(world, opens - 14 * HOUR, opens + 5 * MINUTE, after_ms)
    assert not is_missed(world, closes - MINUTE, closes + 3 * HOUR, after_ms)


def test_a_feed_of_one_file_a_day_is_missed_on_the_day_on_which_it_came_a_week_before(
    world: World, came: Callable[[int, int], None]
) -> None:
    seven = (real_ms() // DAY) * DAY + 7 * HOUR
    came(seven - 8 * DAY, seven - 8 * DAY + MINUTE)
    came(seven - 7 * DAY, seven - 7 * DAY + MINUTE)
    assert is_missed(world, seven - DAY, seven + 2 * HOUR, DAY)
    assert not is_missed(world, seven - DAY, seven + 3 * DAY, DAY)


def test_a_channel_younger_than_a_week_is_quiet_after_what_its_file_says(
    world: World, came: Callable[[int, int], None]
) -> None:
    now = real_ms()
    came(now - DAY, now - 3 * HOUR)
    assert is_missed(world, now - 3 * HOUR, now, 2 * HOUR)
    assert not is_missed(world, now - HOUR, now, 2 * HOUR)


def certificate(path: Path, days: int) -> Path:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now + timedelta(days=days, hours=1))
    )
    path.write_bytes(built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def test_certificates_and_passwords_are_told_of_before_they_end(world: World, tmp_path: Path) -> None:
    today = world.settings.clock.today()
    ends: dict[str, date] = {"clearway_key": today + timedelta(days=3), "smtp": today + timedelta(days=30)}
    files = (certificate(tmp_path / "soon.pem", 5), certificate(tmp_path / "late.pem", 90), tmp_path / "absent.pem")
    world.settings = replace(world.settings, certificates=files, secret_ends=lambda: ends)
    found = causes(world)
    assert [key for key in found if key.startswith(("certificate/", "secret/"))] == [
        "certificate/soon.pem",
        "secret/clearway_key",
    ]
    assert "in 3 days" in found["secret/clearway_key"].sentence
    certificate(tmp_path / "soon.pem", 90)
    assert "certificate/soon.pem" not in causes(world)
