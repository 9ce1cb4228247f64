from __future__ import annotations

from pathlib import Path

from hub.site.load import load_site
from hub.site.samples import read_message, run_message
from hub.site.trace import tracing

ROOT = Path(__file__).parents[2]


def test_values_stand_beside_the_lines_that_gave_them_and_the_paths_that_they_read() -> None:
    site = load_site(ROOT)
    raw = read_message(ROOT / "tests/channels/ehr_visits/two_lines/in.hl7")
    with tracing(site.scripts.folder, site.scripts.shown) as seen:
        run_message(site, site.channels["ehr_visits"], raw)
    account = next(each for each in seen if each.name == "account")
    source = (ROOT / account.file).read_text().splitlines()
    assert (account.step, account.value, account.paths) == ("charges", "AC07000003", ("PID-18.1",))
    assert source[account.line - 1].strip().startswith("account = ")


def test_nothing_outside_of_the_scripts_is_traced() -> None:
    with tracing(ROOT / "transforms", str) as seen:
        read_message(ROOT / "tests/channels/ehr_visits/two_lines/in.hl7")
    assert seen == []
