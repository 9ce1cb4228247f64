from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.cli.main import main
from hub.site.new import new_site

CHANNEL = """
[destination.ehr]
type = "fhir_read"
base = "https://ehr.clinic.example/fhir"
order = "any"
ambiguous = "retry"

[destination.ehr.oauth]
discover = "https://ehr.clinic.example/fhir"
client_id = "hub"
keys = [{ key = { secret = "now" } }, { key = { secret = "next" }, since = 2099-01-01 }]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    new_site(tmp_path / "site")
    return tmp_path / "site"


def test_every_key_is_published_and_no_private_part(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    channel = site / "channels/ehr_visits.toml"
    channel.write_text(channel.read_text() + CHANNEL)
    for name in ("now", "next"):
        assert main(["jwks", "--new", name, "--site", str(site)]) == 0
        assert (site / "var/secrets" / name).stat().st_mode & 0o777 == 0o600
    capsys.readouterr()
    assert main(["jwks", "--site", str(site)]) == 0
    keys = json.loads(capsys.readouterr().out)["keys"]
    assert len({key["kid"] for key in keys}) == 2
    assert {frozenset(key) for key in keys} == {frozenset({"kty", "crv", "x", "y", "kid", "alg", "use"})}


def test_a_key_never_replaces_a_secret(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jwks", "--new", "now", "--site", str(site)]) == 0
    first = (site / "var/secrets/now").read_bytes()
    assert main(["jwks", "--new", "now", "--site", str(site)]) == 2
    assert main(["jwks", "--new", "Not/A-Name", "--site", str(site)]) == 2
    assert (site / "var/secrets/now").read_bytes() == first
    assert "another" in capsys.readouterr().err
