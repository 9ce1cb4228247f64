from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.errors import HubError
from hub.site.describe import describer
from hub.site.samples import read_message

SAMPLES = Path(__file__).parents[1] / "channels"


def sample(case: str) -> bytes:
    return read_message(next((SAMPLES / case).glob("in.*")))


def test_an_hl7_message_is_found_by_its_numbers_and_by_the_patients_name() -> None:
    found = describer("hl7v2", "patient")(sample("ehr_visits/registration"))
    kinds = [kind for kind, _ in found.identifiers]
    assert (found.kind, found.sender) == ("ADT^A04", "ALDER_EHR|ALDER")
    assert kinds == ["mrn", "account", "visit", "name", "name"]
    family, both = (text for kind, text in found.identifiers if kind == "name")
    assert both.startswith(f"{family} ")


def test_messages_about_one_patient_share_a_lane_and_a_merge_takes_both() -> None:
    describe = describer("hl7v2", "patient")
    merge = describe(sample("ehr_visits/merge"))
    assert merge.other_lane == "patient|ALDER|M07000030"
    survivor = sample("ehr_visits/merge").replace(b"ADT^A40", b"ADT^A08").partition(b"MRG|")[0]
    assert describe(survivor).lane == merge.lane != merge.other_lane
    assert describe(survivor).other_lane is None


def test_without_a_record_number_the_account_keeps_the_order() -> None:
    raw = sample("ehr_visits/two_lines").replace(b"A07000004^^^ALDER^MR", b"")
    assert describer("hl7v2", "patient")(raw).lane == "account|ALDER|AC07000003"


def test_a_repeat_has_the_same_basis_whatever_its_timestamp() -> None:
    describe = describer("hl7v2", "patient")
    raw = sample("ehr_visits/two_lines")
    later = raw.replace(raw.split(b"|")[6], b"20270101000000-0600", 1)
    changed = raw.replace(b"260.00", b"261.00")
    assert describe(later).duplicate_basis == describe(raw).duplicate_basis
    assert describe(changed).duplicate_basis != describe(raw).duplicate_basis


@pytest.mark.parametrize("message_format", ["hl7v2", "x12", "json"])
def test_a_lane_of_any_is_a_lane_of_its_own_and_strict_is_one_for_all(message_format: str) -> None:
    case = {"hl7v2": "ehr_visits/two_lines", "x12": "responses_in/ta1", "json": "results_to_ehr/payment"}[
        message_format
    ]
    raw, other = sample(case), sample(case).replace(b"07000003", b"07000004").replace(b"302", b"303")
    one = describer(message_format, "any")
    assert one(raw).lane != one(other).lane
    strict = describer(message_format, "strict")
    assert strict(raw).lane == strict(other).lane == "strict"


def test_a_path_may_keep_the_order() -> None:
    assert describer("hl7v2", "PV1-19.1")(sample("ehr_visits/two_lines")).lane == "VN07000003"


@pytest.mark.parametrize(("case", "kind"), [("acknowledgement", "999"), ("ta1", "TA1"), ("remittance", "835")])
def test_an_x12_file_is_called_by_what_comes_first(case: str, kind: str) -> None:
    found = describer("x12", "strict")(sample(f"responses_in/{case}"))
    assert (found.kind, found.control_id[:6]) == (kind, "000000")


def test_of_a_large_x12_file_only_the_head_is_read() -> None:
    raw = sample("responses_in/remittance")
    large = raw.partition(b"SE*")[0] + b"CLP*1*1*1*1~" * 200_000
    assert describer("x12", "any")(large).kind == "835"


def test_a_notification_and_its_fetch_keep_one_order() -> None:
    describe = describer("fhir", "patient")
    told, fetched = describe(sample("ehr_fhir/reference_alone")), describe(sample("ehr_fhir/fetched"))
    assert told.lane == fetched.lane == "Encounter/e-vn07000005"
    assert (told.kind, fetched.kind) == ("Bundle/notification", "Bundle/collection")
    assert ("visit", "VN07000005") in fetched.identifiers


def test_a_billing_event_is_found_by_account_and_claim() -> None:
    found = describer("json", "account")(sample("results_to_ehr/payment"))
    assert (found.kind, found.control_id) == ("payment", "P700000000000000001")
    assert {("account", "AC07000003"), ("claim", "H1A2B3")} <= set(found.identifiers)


@given(raw=st.binary(max_size=200), message_format=st.sampled_from(["hl7v2", "x12", "fhir", "json"]))
def test_bytes_that_cannot_be_read_raise_our_own_error_alone(raw: bytes, message_format: str) -> None:
    with contextlib.suppress(HubError):
        describer(message_format, "patient")(raw)


def test_what_was_fetched_beside_fhir_is_found_by_its_keys_and_kept_in_order_by_its_patient() -> None:
    raw = b'{"account":"7","claim":{"resourceType":"x"},"event":"claim","mrn":"31","read_at":"2026-11-30T12:00:00Z"}'
    found = describer("fhir", "patient")(raw)
    assert (found.kind, found.lane) == ("claim", "patient||31")
    assert found.identifiers == (("mrn", "31"), ("account", "7"))


def test_what_an_hl7_channel_fetched_by_fhir_is_described_as_that() -> None:
    raw = b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Encounter","id":"7"}}]}'
    found = describer("hl7v2", "patient")(raw)
    assert (found.kind, found.lane) == ("Bundle/collection", "Encounter/7")
