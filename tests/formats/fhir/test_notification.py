from __future__ import annotations

import contextlib
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.formats.fhir.check import validate
from hub.formats.fhir.notification import Happened, Notification, notification, resources_of, summary
from hub.formats.fhir.text import FhirError, read, write

ENCOUNTER = {
    "resourceType": "Encounter",
    "id": "e1",
    "identifier": [{"system": "urn:alder:visit", "value": "V1"}],
    "subject": {"reference": "Patient/p1"},
}
CHARGE = {
    "resourceType": "ChargeItem",
    "id": "c1",
    "context": {"reference": "https://ehr.example/fhir/Encounter/e1"},
    "account": [{"identifier": {"value": "A1"}}],
}
PATIENT = {"resourceType": "Patient", "id": "p1", "identifier": [{"value": "100001"}, {"value": "100001"}]}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def bundle(kind: str, *resources: Any, **more: Any) -> bytes:
    entries = [{"resource": resource} for resource in resources]
    return encoded({"resourceType": "Bundle", "type": kind, "entry": entries, **more})


def r4_status(kind: str = "event-notification", number: str = "7", focus: str = "Encounter/e1") -> dict[str, Any]:
    event = [
        {"name": "event-number", "valueString": number},
        {"name": "timestamp", "valueInstant": "2026-11-23T12:00:00Z"},
        {"name": "focus", "valueReference": {"reference": focus}},
    ]
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "subscription", "valueReference": {"reference": "Subscription/s1"}},
            {"name": "type", "valueCode": kind},
            *([{"name": "notification-event", "part": event}] if kind == "event-notification" else []),
        ],
    }


def later_status(kind: str = "event-notification") -> dict[str, Any]:
    return {
        "resourceType": "SubscriptionStatus",
        "type": kind,
        "subscription": {"reference": "Subscription/s1"},
        "notificationEvent": [
            {"eventNumber": 7, "timestamp": "2026-11-23T12:00:00Z", "focus": {"reference": "Encounter/e1"}}
        ],
    }


@pytest.mark.parametrize(
    "raw",
    [
        bundle("history", r4_status(), ENCOUNTER),
        bundle("history", later_status(), ENCOUNTER),
        bundle("subscription-notification", later_status(), ENCOUNTER),
    ],
    ids=["R4", "R4B", "R5"],
)
def test_every_form_of_a_notification_is_read_alike(raw: bytes) -> None:
    assert notification(raw) == Notification(
        "event-notification", "Subscription/s1", (Happened("7", "Encounter/e1", "2026-11-23T12:00:00Z"),), (ENCOUNTER,)
    )
    assert summary(raw).kind == "Bundle/notification"


@pytest.mark.parametrize(
    "raw",
    [
        encoded(ENCOUNTER),
        bundle("history", ENCOUNTER),
        bundle("collection"),
        encoded({"resourceType": "Parameters", "parameter": [{"name": "type", "valueCode": "x"}]}),
    ],
)
def test_other_resources_are_no_notification(raw: bytes) -> None:
    assert notification(raw) is None


def test_everything_about_one_visit_shares_its_lane() -> None:
    told = [
        bundle("history", r4_status()),
        bundle("history", r4_status(focus="https://ehr.example/fhir/Encounter/e1"), PATIENT, ENCOUNTER, CHARGE),
        bundle("collection", PATIENT, CHARGE),
        encoded(ENCOUNTER),
        encoded(CHARGE),
    ]
    assert {summary(raw).lane for raw in told} == {"Encounter/e1"}
    assert summary(encoded(PATIENT)).lane == "Patient/p1"


def test_people_find_a_message_by_record_visit_and_account_number() -> None:
    found = summary(bundle("collection", PATIENT, ENCOUNTER, CHARGE)).identifiers
    assert found == (("mrn", "100001"), ("visit", "V1"), ("account", "A1"))


def test_a_repeated_event_is_known_whatever_its_envelope_says() -> None:
    first = bundle("history", r4_status(), ENCOUNTER, id="b1", timestamp="2026-11-23T12:00:00Z")
    again = bundle("history", r4_status(), ENCOUNTER, id="b2", timestamp="2026-11-23T12:05:00Z")
    next_one = bundle("history", r4_status(number="8"), ENCOUNTER)
    changed = bundle("history", r4_status(), {**ENCOUNTER, "status": "finished"})
    basis = summary(first).duplicate_basis
    assert basis is not None
    assert summary(again).duplicate_basis == basis
    assert summary(next_one).duplicate_basis != basis
    assert summary(changed).duplicate_basis != basis


def named(at: str, value: str = "77") -> bytes:
    """A notification whose server gives its own identifier alone and numbers the events of each Bundle from 1."""
    identifier = {"system": "urn:ehr:claim:1", "value": value}
    event = {"eventNumber": "1", "timestamp": at, "focus": {"identifier": identifier}}
    return bundle("history", {**later_status(), "notificationEvent": [event]})


def test_two_events_about_one_thing_are_told_apart_by_their_time() -> None:
    first, later = named("2026-11-23T12:00:00Z"), named("2026-11-23T12:00:01Z")
    assert summary(first).duplicate_basis == summary(named("2026-11-23T12:00:00Z")).duplicate_basis
    assert summary(first).duplicate_basis != summary(later).duplicate_basis


def test_what_is_named_by_an_identifier_alone_has_a_lane_of_its_own() -> None:
    at = "2026-11-23T12:00:00Z"
    assert summary(named(at)).lane == "urn:ehr:claim:1|77"
    assert summary(named(at)).duplicate_basis != summary(named(at, "78")).duplicate_basis


def test_the_order_of_keys_makes_no_other_resource() -> None:
    turned = dict(reversed(ENCOUNTER.items()))
    assert summary(encoded(turned)).duplicate_basis == summary(encoded(ENCOUNTER)).duplicate_basis


@pytest.mark.parametrize("kind", ["handshake", "heartbeat"])
def test_a_greeting_is_never_a_repeat(kind: str) -> None:
    found = summary(bundle("history", r4_status(kind)))
    assert (found.kind, found.duplicate_basis) == (kind, None)


def test_money_keeps_its_digits() -> None:
    raw = b'{"resourceType":"ChargeItem","priceOverride":{"value":10.00,"currency":"USD"}}'
    resource = read(raw)
    assert resource["priceOverride"]["value"] == Decimal("10.00")
    assert write(resource) == raw


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(json_values)
def test_what_is_written_is_json_and_reads_back(value: Any) -> None:
    try:
        plain = write({"resourceType": "Basic", "value": value})
    except UnicodeEncodeError:
        return  # lone surrogates are no text
    back = json.loads(plain, parse_float=Decimal)["value"]
    assert json.dumps(back, default=float) is not None
    if isinstance(value, Decimal):
        assert back == value


@given(st.binary() | st.text().map(str.encode) | json_values.map(lambda value: json.dumps(value, default=str).encode()))
def test_any_bytes_are_a_summary_or_a_fhir_error(raw: bytes) -> None:
    with contextlib.suppress(FhirError):
        summary(raw)


@given(
    st.dictionaries(
        st.sampled_from(["type", "entry", "parameter", "identifier", "subject", "account", "context", "id", "link"]),
        json_values,
    ),
    st.sampled_from(["Bundle", "Parameters", "SubscriptionStatus", "Patient", "Encounter", "ChargeItem"]),
)
def test_a_resource_of_any_shape_is_a_summary_or_a_fhir_error(fields: dict[str, Any], kind: str) -> None:
    resource = {**fields, "resourceType": kind}
    try:
        raw = write(resource)
        summary(raw)
        summary(write({"resourceType": "Bundle", "entry": [{"resource": resource}]}))
    except (FhirError, UnicodeEncodeError):
        pass


def test_the_models_name_the_element_and_never_the_value() -> None:
    wrong = {**ENCOUNTER, "status": "finished", "class": {"code": "AMB"}, "period": {"start": "hunter2"}}
    findings = validate(wrong)
    assert any("period" in finding.where for finding in findings)
    assert "hunter2" not in str(findings)
    assert validate({"resourceType": "Nothing"})[0].where == "resourceType"
    assert validate({"resourceType": "Patient", "id": "p1"}) == ()


@pytest.mark.corpus
def test_every_sample_resource_has_a_summary() -> None:
    default = Path(__file__).parents[3] / "../shared/samples"
    folder = Path(os.environ.get("HUB_CORPUS", default)) / "fhir"
    if not folder.is_dir():
        pytest.skip("The corpus of sample resources is absent; set HUB_CORPUS to its folder.")
    files = sorted(folder.rglob("*.json"))
    assert files
    unread = 0
    for file in files:
        try:
            found = summary(file.read_bytes())
        except FhirError:
            unread += 1
            continue
        assert found.kind
        assert resources_of(read(file.read_bytes())) or found.kind.startswith("Bundle/")
    assert unread < len(files) / 10
