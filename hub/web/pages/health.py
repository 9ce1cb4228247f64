"""For machines: whether the hub lives, whether it is ready, and its figures for Prometheus.

No patient data, no names of people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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
        last_in = {f'channel="{name}"': status.last_received(connection, name) for name in counts}
        last_out = {
            f'channel="{channel.name}",destination="{destination.name}"': paces.last_sent(
                connection, channel.name, destination.name
            )
            for channel in site.settings.channels
            for destination in channel.destinations
        }
    lines = ["# HELP hub_messages_received_total Messages received.", "# TYPE hub_messages_received_total counter"]
    lines += [f'hub_messages_received_total{{channel="{name}"}} {c["received"]}' for name, c in counts.items()]
    lines += ["# HELP hub_messages Messages by outcome.", "# TYPE hub_messages gauge"]
    lines += [
        f'hub_messages{{channel="{name}",outcome="{outcome}"}} {c[outcome]}'
        for name, c in counts.items()
        for outcome in status.OUTCOMES
    ]
    lines += [
        "# HELP hub_balance_difference Received minus the outcomes; not 0 is an alert.",
        "# TYPE hub_balance_difference gauge",
    ]
    lines += [f'hub_balance_difference{{channel="{name}"}} {c.difference}' for name, c in counts.items()]
    lines += ["# HELP hub_waiting Deliveries that wait.", "# TYPE hub_waiting gauge"]
    places = [f'channel="{w.channel}",destination="{w.destination}"' for w in waits]
    lines += [f"hub_waiting{{{place}}} {wait.count}" for place, wait in zip(places, waits, strict=True)]
    lines += [
        "# HELP hub_waiting_oldest_seconds Age of the oldest waiting delivery.",
        "# TYPE hub_waiting_oldest_seconds gauge",
    ]
    lines += [
        f"hub_waiting_oldest_seconds{{{place}}} {max(0, now - wait.oldest_at) / 1000:.0f}"
        for place, wait in zip(places, waits, strict=True)
    ]
    lines += _gauge("hub_last_received_timestamp_seconds", "When the last message came in.", last_in)
    lines += _gauge("hub_last_sent_timestamp_seconds", "When the last delivery was taken.", last_out)
    lines += ["# HELP hub_claims Claims by state.", "# TYPE hub_claims gauge"]
    lines += [f'hub_claims{{state="{stage.state}"}} {stage.claims}' for stage in stages]
    lines += ["# HELP hub_work_items_open Open work items.", "# TYPE hub_work_items_open gauge"]
    lines += [f'hub_work_items_open{{queue="{queue}"}} {number}' for queue, number, _, _ in items]
    lines += [
        "# HELP hub_store_bytes Size of the store.",
        "# TYPE hub_store_bytes gauge",
        f"hub_store_bytes {disk.used}",
    ]
    if disk.free is not None:
        lines += ["# HELP hub_disk_free_bytes Free on the store's disk.", "# TYPE hub_disk_free_bytes gauge"]
        lines.append(f"hub_disk_free_bytes {disk.free}")
    if disk.days_left is not None:
        lines += ["# HELP hub_disk_full_days Days until that disk is full.", "# TYPE hub_disk_full_days gauge"]
        lines.append(f"hub_disk_full_days {disk.days_left:.1f}")
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def _gauge(name: str, what: str, times: Mapping[str, int | None]) -> Iterator[str]:
    """The lines of a gauge of *times* (ms) by their labels; one that is not known is left out."""
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} gauge"
    yield from (f"{name}{{{labels}}} {at // 1000}" for labels, at in times.items() if at)
