"""For machines: whether the hub lives, whether it is ready, and its figures for Prometheus.

No patient data, no names of people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import PlainTextResponse, Response

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.store.database import reading
from hub.store.forecast import forecast
from hub.web.call import Site
from hub.web.overview import all_claims_by_state, waiting
from hub.web.queries import channels as paces
from hub.web.queries import status


def healthz(_site: Site) -> Response:
    """Say that the process answers."""
    return PlainTextResponse("ok\n")


def readyz(site: Site) -> Response:
    """The store can be read and the engine answers; 503 with the reason otherwise."""
    try:
        with reading(site.store) as connection:
            connection.execute(text("SELECT 1"))
        site.control.ask("status", {}, "hub")
    except SQLAlchemyError:
        return PlainTextResponse("the store cannot be read\n", status_code=503)
    except HubError as error:
        return PlainTextResponse(f"{error.what}\n", status_code=503)
    return PlainTextResponse("ready\n")


def client_keys(site: Site) -> Response:
    """The public keys that FHIR servers check our signatures with (RFC 7517); 503 when one cannot be read."""
    try:
        return Response(site.settings.key_set(), media_type="application/jwk-set+json")
    except HubError:
        return PlainTextResponse("a key cannot be read\n", status_code=503)


def metrics(site: Site) -> Response:
    """Counters and gauges in Prometheus' text format."""
    now = real_ms()
    with reading(site.store) as connection:
        counts = status.counts_by_channel(connection, "")
        waits = waiting(site, connection)
        stages = all_claims_by_state(site, connection)
        items = status.open_items(connection)
        disk = forecast(connection, site.settings.control_socket.parent, now)
        last_in = {_labels(channel=name): status.last_received(connection, name) for name in counts}
        last_out = {
            _labels(channel=channel.name, destination=destination.name): paces.last_sent(
                connection, channel.name, destination.name
            )
            for channel in site.settings.channels
            for destination in channel.destinations
        }
    places = [_labels(channel=wait.channel, destination=wait.destination) for wait in waits]
    ages = [f"{max(0, now - wait.oldest_at) / 1000:.0f}" for wait in waits]
    outcomes = [
        (_labels(channel=name, outcome=outcome), each[outcome])
        for name, each in counts.items()
        for outcome in status.OUTCOMES
    ]
    lines = [
        *_family(
            "hub_messages_received_total",
            "Messages received.",
            [(_labels(channel=name), each["received"]) for name, each in counts.items()],
            kind="counter",
        ),
        *_family("hub_messages", "Messages by outcome.", outcomes),
        *_family(
            "hub_balance_difference",
            "Received minus the outcomes; not 0 is an alert.",
            [(_labels(channel=name), each.difference) for name, each in counts.items()],
        ),
        *_family(
            "hub_waiting",
            "Deliveries that wait.",
            [(place, wait.count) for place, wait in zip(places, waits, strict=True)],
        ),
        *_family("hub_waiting_oldest_seconds", "Age of the oldest waiting delivery.", zip(places, ages, strict=True)),
        *_family("hub_last_received_timestamp_seconds", "When the last message came in.", _known(last_in)),
        *_family("hub_last_sent_timestamp_seconds", "When the last delivery was taken.", _known(last_out)),
        *_family("hub_claims", "Claims by state.", [(_labels(state=each.state), each.claims) for each in stages]),
        *_family(
            "hub_work_items_open",
            "Open work items.",
            [(_labels(queue=queue), number) for queue, number, _, _ in items],
        ),
        *_family("hub_store_bytes", "Size of the store.", [("", disk.used)]),
    ]
    if disk.free is not None:
        lines += _family("hub_disk_free_bytes", "Free on the store's disk.", [("", disk.free)])
    if disk.days_left is not None:
        lines += _family("hub_disk_full_days", "Days until that disk is full.", [("", f"{disk.days_left:.1f}")])
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def _family(name: str, what: str, samples: Iterable[tuple[str, object]], *, kind: str = "gauge") -> Iterator[str]:
    """The lines of one metric: what it is, and each of its *samples*, labels and value."""
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} {kind}"
    yield from (f"{name}{labels} {value}" for labels, value in samples)


def _labels(**labels: str) -> str:
    pairs = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{{{pairs}}}"


def _known(times: Mapping[str, int | None]) -> list[tuple[str, int]]:
    """*times* (ms, by labels) in seconds; one that is not known is left out."""
    return [(labels, at // 1000) for labels, at in times.items() if at]
