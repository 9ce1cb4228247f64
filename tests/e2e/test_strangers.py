"""Other people's programs work with the hub: python-hl7's mllp_send, curl, OpenSSH's sftp."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.at_work import AtWork
from tests.e2e.playing import WAIT

pytestmark = pytest.mark.e2e

CHECK_IN = (
    "MSH|^~\\&|EHR|ALDER|CLAIMHUB|HUB|20260302090000-0600||ADT^A04^ADT_A01|STRANGER-1|P|2.5.1\r"
    "EVN|A04|20260302090000-0600\r"
    "PID|1||S000001^^^ALDER^MR||STRANGEWAY^ADA||19700101|F\r"
    "PV1|1|O|FM\r"
)
NOTIFICATION = {
    "resourceType": "Bundle",
    "type": "history",
    "entry": [
        {
            "resource": {
                "resourceType": "SubscriptionStatus",
                "status": "active",
                "type": "event-notification",
                "eventsSinceSubscriptionStart": "1",
                "notificationEvent": [{"eventNumber": "1", "focus": {"reference": "Encounter/E-1"}}],
                "subscription": {"reference": "Subscription/s-1"},
            }
        },
        {
            "fullUrl": "https://ehr.alder.example/fhir/Encounter/E-1",
            "resource": {
                "resourceType": "Encounter",
                "id": "E-1",
                "status": "finished",
                "class": {"code": "VR"},
                "subject": {"reference": "Patient/P-1"},
            },
        },
    ],
}


def test_mllp_send_of_python_hl7_sends_a_file_and_shows_the_acknowledgement(hub: AtWork, tmp_path: Path) -> None:
    file = tmp_path / "check_in.hl7"
    file.write_text(CHECK_IN)
    sender = Path(sys.executable).with_name("mllp_send")
    said = _run(str(sender), "--file", str(file), "--loose", "--port", str(hub.stage.mllp_port), "127.0.0.1")
    assert "MSA|AA|STRANGER-1" in said
    assert hub.rows("select 1 from message where control_id = 'STRANGER-1'")


def test_curl_posts_a_notification_over_tls_with_the_token(hub: AtWork, tmp_path: Path) -> None:
    body = tmp_path / "notification.json"
    body.write_text(json.dumps(NOTIFICATION))
    assert _post(hub, body, hub.stage.hook_token) in {"200", "202"}
    assert hub.rows("select 1 from message where channel = 'ehr_fhir'")


def test_curl_is_turned_away_with_a_wrong_token(hub: AtWork, tmp_path: Path) -> None:
    body = tmp_path / "notification.json"
    body.write_text(json.dumps(NOTIFICATION).replace("E-1", "E-2"))
    before = hub.rows("select count(*) from message where channel = 'ehr_fhir'")
    assert _post(hub, body, "not-the-token") == "401"
    assert hub.rows("select count(*) from message where channel = 'ehr_fhir'") == before


def test_curl_without_the_certificate_does_not_trust_the_hub(hub: AtWork) -> None:
    done = subprocess.run(["curl", "--silent", hub.hook], capture_output=True, timeout=WAIT, check=False)
    assert done.returncode == 60  # curl's own code for a peer that cannot be verified


def test_openssh_sftp_lists_the_clearinghouse_s_folders(hub: AtWork) -> None:
    said = hub.sftp("ls -1", "ls -l outbound")
    assert {"inbound", "outbound"} <= set(said.split())


@pytest.mark.parametrize(
    ("path", "expected"),
    [("healthz", "ok"), ("readyz", "ready"), ("metrics", "# TYPE"), ("login", "<form")],
)
def test_the_pages_answer_curl(hub: AtWork, path: str, expected: str) -> None:
    said = _run("curl", "--silent", "--show-error", "--fail", f"{hub.pages}/{path}")
    assert expected in said


def test_pages_that_show_something_ask_for_a_login(hub: AtWork) -> None:
    where = "%{http_code} %{redirect_url}"
    said = _run("curl", "--silent", "--output", "/dev/null", "--write-out", where, f"{hub.pages}/messages")
    assert said.startswith("303 ")
    assert "/login" in said


def _post(hub: AtWork, body: Path, token: str) -> str:
    certificate = hub.stage.site / "var" / "tls" / "ehr_fhir.pem"
    words = ["--silent", "--show-error", "--output", "/dev/null", "--write-out", "%{http_code}"]
    words += ["--cacert", str(certificate), "--header", f"Authorization: Bearer {token}"]
    words += ["--header", "Content-Type: application/fhir+json", "--data-binary", f"@{body}", hub.hook]
    return _run("curl", *words)


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=WAIT, check=False)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout
