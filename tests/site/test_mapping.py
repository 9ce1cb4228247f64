from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from hub.billing.values import BY_NAME, Charge
from hub.core.codec import from_plain
from hub.core.exact_json import json_bytes
from hub.core.ids import IdBlock
from hub.engine.contracts import Reply, TaskCall, WorkerSite
from hub.site.load import load_site, map_messages
from hub.site.samples import read_message

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests/channels"


def call(folder: Path, channel: str, *messages: tuple[str, bytes]) -> Reply:
    site = load_site(folder).require_sound()
    header = {
        "bundle": site.bundle,
        "channel": channel,
        "messages": [
            {"id": number, "kind": kind, "received_on": "2026-11-09", "control_id": f"C{number}", "source": "x"}
            for number, (kind, _) in enumerate(messages)
        ],
    }
    parts = tuple(raw for _, raw in messages)
    return map_messages(site)(TaskCall(header, parts, cast("WorkerSite", None), IdBlock(0)))


def sample(case: str) -> bytes:
    return read_message(next((SAMPLES / case).glob("in.*")))


TWO_LINES = sample("ehr_visits/two_lines")


def test_the_values_of_a_message_go_to_billing_as_one_body() -> None:
    reply = call(ROOT, "ehr_visits", ("DFT^P03", TWO_LINES))
    (result,) = reply.header["results"]
    (delivery,) = result["deliveries"]
    assert (delivery["destination"], delivery["kind"], delivery["name"]) == ("billing", "DFT^P03", "C0")
    values = [from_plain(BY_NAME[name], plain) for name, plain in json.loads(reply.parts[delivery["part"]])]
    assert [type(value) for value in values] == [Charge, Charge]
    assert [cast("Charge", value).source_path for value in values] == ["FT1[1]", "FT1[2]"]
    assert cast("Charge", values[0]).amount == Decimal("260.00")
    assert cast("Charge", values[0]).modifiers == ("25",)
    assert result["lines"] == {"lines": 2, "mapped": 2, "filtered": 0, "held": 0}
    shown = json.loads(reply.parts[result["mapped"]])
    assert shown[0]["script"].startswith("transforms/alder/charges.py:")
    assert result["error"] is result["rejected"] is None


def test_messages_of_a_batch_do_not_mix() -> None:
    bad = sample("ehr_visits/amount_that_is_none")
    visit = sample("ehr_visits/registration")
    reply = call(ROOT, "ehr_visits", ("DFT^P03", TWO_LINES), ("DFT^P03", bad), ("ADT^A04", visit), ("ORU^R01", visit))
    good, errored, registered, unknown = reply.header["results"]
    assert good["deliveries"]
    assert errored["error"]["code"] == "H223"
    assert not errored["deliveries"]
    body = json.loads(reply.parts[registered["deliveries"][0]["part"]])
    assert [name for name, _ in body] == ["Visit"]
    assert unknown["skipped"] == [{"reason": "No step of this channel takes ORU^R01.", "path": ""}]
    assert not unknown["deliveries"]


def test_a_held_line_does_not_hold_back_its_neighbours() -> None:
    (result,) = call(ROOT, "ehr_visits", ("DFT^P03", sample("ehr_visits/unknown_department"))).header["results"]
    assert result["held"] == [
        {
            "queue": "charge review",
            "reason": "The department of this charge is not in our table.",
            "path": "FT1[1]",
        }
    ]
    assert result["lines"] == {"lines": 4, "mapped": 3, "filtered": 0, "held": 1}


def test_a_claim_file_goes_to_its_receiver_byte_for_byte() -> None:
    raw = sample("claims_out/to_the_payer")
    reply = call(ROOT, "claims_out", ("837P", raw))
    (delivery,) = reply.header["results"][0]["deliveries"]
    assert (delivery["destination"], delivery["name"]) == ("granite", "ALDERST01_000000007.837")
    assert reply.parts[delivery["part"]] == raw


def test_a_reference_becomes_a_fetch() -> None:
    reply = call(ROOT, "ehr_fhir", ("Bundle/notification", sample("ehr_fhir/reference_alone")))
    (delivery,) = reply.header["results"][0]["deliveries"]
    assert (delivery["destination"], delivery["kind"]) == ("fetch", "read")
    body = json.loads(reply.parts[delivery["part"]])
    assert body["reads"] == []
    assert body["searches"][0].startswith("Encounter?_id=e-")


def test_what_goes_back_to_the_ehr_is_what_the_standards_say() -> None:
    from hub.formats.fhir.check import validate
    from hub.formats.hl7v2.check import conformance

    for case in ("payment", "reversal", "claim_status"):
        kind = "claim status" if case == "claim_status" else "payment"
        reply = call(ROOT, "results_to_ehr", (kind, sample(f"results_to_ehr/{case}")))
        (delivery,) = reply.header["results"][0]["deliveries"]
        assert delivery["destination"] == "ehr"
        found = conformance(reply.parts[delivery["part"]])
        assert [each for each in found if each.severity == "error"] == []
    for case, kind, resources in (
        ("payment_by_fhir", "payment", 2),
        ("reversal_by_fhir", "payment", 2),
        ("mistaken_by_fhir", "payment", 2),
        ("remittance", "remittance", 1),
        ("claim_status_by_fhir", "claim status", 1),
        ("denial_by_fhir", "denial", 1),
        ("denial_ended_by_fhir", "denial", 1),
    ):
        reply = call(ROOT, "results_to_ehr", (kind, sample(f"results_to_ehr/{case}")))
        deliveries = reply.header["results"][0]["deliveries"]
        assert len(deliveries) == resources
        for delivery in deliveries:
            assert delivery["destination"] == "ehr_fhir"
            assert validate(json.loads(reply.parts[delivery["part"]])) == ()


def test_json_keeps_the_places_of_decimals() -> None:
    document = {"value": Decimal("10.00"), "list": [Decimal(-3), True, None, 'q"ö']}
    assert json_bytes(document).decode() == '{"value":10.00,"list":[-3,true,null,"q\\"ö"]}'


# ---------------------------------------------------------------- scripts that do something wrong

Broken = Callable[[str], dict[str, Any]]


@pytest.fixture
def outcome(copied: Path) -> Broken:
    """What comes of the two charge lines when the body of the mapping is this."""

    def run(body: str) -> dict[str, Any]:
        (copied / "transforms/alder/charges.py").write_text(
            "from decimal import Decimal\nfrom hub.scripting import *\n\n"
            '@mapping(accepts="DFT^P03", returns=Charge)\n'
            f"def charges(message):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
        )
        reply = call(copied, "ehr_visits", ("DFT^P03", TWO_LINES))
        result: dict[str, Any] = reply.header["results"][0]
        return result

    return run


PATIENT = ("CHG07000003", "AC07000003", "A07000004", "1999000338")


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("raise ValueError(message['PID-5.1'])", "H424", 6),
        ("return {}[message['PID-18.1']]", "H424", 6),
        ("return message.required('PID-99.1')", "H222", 6),
        ("x = 1\nreturn message['PID-5x']", "H221", 7),
        ("return Visit(account='', patient=Patient(mrn='', name=Name(family='')))", "H421", 6),
        ("yield message['PID-18.1']", "H421", 6),
        (
            (
                "for line in message.each('FT1'):\n"
                "    yield Charge(transaction=line['FT1-2'], account='A', service_date=None, code='1', amount=1)"
            ),
            "H422",
            7,
        ),
        (
            (
                "for line in message.each('FT1'):\n"
                "    yield Charge(transaction='1', account='A', service_date='20261109', code='1', amount=1.5)"
            ),
            "H422",
            7,
        ),
        ("def again(): return again()\nreturn again()", "H424", 6),
        ("import sys\nsys.exit(1)", "H424", 7),
    ],
)
def test_a_mistake_in_a_script_is_placed_and_says_nothing_of_the_patient(
    outcome: Broken, body: str, code: str, line: int
) -> None:
    result = outcome(body)
    error = result["error"]
    assert error["code"] == code
    assert f"transforms/alder/charges.py:{line}" in error["where"]
    assert (error["channel"], error["step"]) == ("ehr_visits", "charges")
    assert not any(word in json.dumps(result) for word in PATIENT)
    assert not result["deliveries"]
    assert result["lines"]["lines"] == 0


def test_a_value_of_the_wrong_type_names_its_line_in_the_message(outcome: Broken) -> None:
    error = outcome(
        "for line in message.each('FT1'):\n"
        "    yield Charge(transaction=line['FT1-2'], account='A', service_date=None, code='1', amount=Decimal(1))"
    )["error"]
    assert "FT1[1]" in error["where"]
    assert (error["what"], error["expected"]) == ("Charge.service_date is not what it should be.", "a date")


def test_a_reject_stops_everything_of_the_message(outcome: Broken) -> None:
    result = outcome("yield Skip(message.each('FT1')[0], 'x')\nyield Reject('no account')")
    assert result["rejected"] == {"reason": "no account"}
    assert not result["deliveries"]


def test_a_message_of_which_nothing_is_made_says_so(outcome: Broken) -> None:
    assert outcome("return None")["skipped"] == [{"reason": "the mapping made nothing of it", "path": ""}]


def test_an_outcome_about_the_message_is_about_each_of_its_lines(outcome: Broken) -> None:
    held = outcome("return Hold(message, reason='why')")
    assert held["lines"] == {"lines": 2, "mapped": 0, "filtered": 0, "held": 2}
    skipped = outcome("return [Skip(message, 'why')]")
    assert skipped["lines"] == {"lines": 2, "mapped": 0, "filtered": 2, "held": 0}


def test_a_line_that_a_script_forgets_leaves_a_gap_in_the_balance(outcome: Broken) -> None:
    lines = outcome("yield Skip(message.each('FT1')[0], 'only the first')")["lines"]
    assert lines == {"lines": 2, "mapped": 0, "filtered": 1, "held": 0}


def test_a_charge_remembers_where_each_of_its_fields_was_read() -> None:
    raw = (ROOT / "tests/channels/ehr_visits/two_lines/in.hl7").read_bytes()
    reply = call(ROOT, "ehr_visits", ("DFT^P03", raw))
    (result,) = reply.header["results"]
    values = json.loads(reply.parts[result["deliveries"][0]["part"]])
    origins = dict(values[1][1]["origins"])
    assert origins["code"] == "FT1[2]-25[1].1"
    assert origins["diagnoses[2]"] == "FT1[2]-19[3].1"
    assert origins["account"] == "PID[1]-18[1].1"
    assert origins["place_of_service"] == "transforms/alder/departments.csv:2 place_of_service"
    assert origins["script"].startswith("transforms/alder/charges.py:")
