from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.site.bundle import take_files
from hub.site.check import check_site
from hub.site.explanations import EXPLANATIONS
from hub.site.findings import Finding
from hub.site.load import SiteError, load_site
from hub.site.lock import lock_run
from hub.site.ports import taken_ports

ROOT = Path(__file__).parents[2]
Spoil = Callable[[str, str, str], Path]


def findings(folder: Path) -> list[Finding]:
    return [found for found in check_site(load_site(folder)) if found.code != "H310"]


def only(folder: Path) -> Finding:
    found = findings(folder)
    assert len(found) == 1, found
    return found[0]


def test_the_demo_site_checks_clean() -> None:
    assert [found for found in findings(ROOT) if found.level != "info"] == []


def test_a_secret_that_is_not_set_is_named_with_its_place_and_never_with_its_value(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / "var/secrets").mkdir(parents=True)
    for name in ("clearway_key", "ehr_hook_token", "ehr_fhir_token"):
        (copied / "var/secrets" / name).write_text("the value")
    missing = [found for found in check_site(load_site(copied)) if found.code == "H310"]
    assert {found.file for found in missing} == {"channels/claims_out.toml", "channels/responses_in.toml"}
    assert all("granite_key" in found.sentence and found.line > 0 for found in missing)
    monkeypatch.setenv("HUB_SECRET_GRANITE_KEY", "the value")
    assert not [found for found in check_site(load_site(copied)) if found.code == "H310"]


def test_a_partners_password_that_is_not_set_is_named_with_its_setting(copied: Path) -> None:
    partner = copied / "config/partners/clearway.toml"
    said = partner.read_text().replace("schema = 1", 'schema = 1\npassword = { secret = "clearway_isa" }', 1)
    partner.write_text(said)
    (found,) = [each for each in check_site(load_site(copied)) if each.file == "config/partners/clearway.toml"]
    assert (found.code, found.level) == ("H310", "warning")
    assert "clearway_isa" in found.sentence
    assert "password" in found.sentence


def test_a_department_whose_place_the_practice_does_not_have_is_found(copied: Path) -> None:
    practice = copied / "config/practice.toml"
    practice.write_text(practice.read_text().replace("[address]", 'places_of_service = ["11"]\n\n[address]', 1))
    (found,) = [each for each in check_site(load_site(copied)) if each.code == "H504"]
    assert (found.file, found.level) == ("config/practice.toml", "warning")
    assert "It has 11" in found.fix


SPOILED = [
    ("channels/ehr_visits.toml", "listen =", "lissten =", {"H201", "H202"}, "listen"),
    ("channels/ehr_visits.toml", 'type = "mllp"', 'type = "mlpp"', {"H206"}, "mllp"),
    ("channels/ehr_visits.toml", ":charges", ":charge", {"H204"}, "charges"),
    ("channels/ehr_visits.toml", "alder.charges:", "alder.chrages:", {"H401"}, "alder.charges"),
    ("channels/ehr_visits.toml", ":charges", ":KINDS", {"H205"}, "@mapping"),
    ("channels/ehr_visits.toml", 'on = ["DFT^P03"]', 'on = ["DFT^P11"]', {"H207", "H211"}, "DFT^P03"),
    ("channels/ehr_visits.toml", 'on = ["DFT^P03"]', 'on = ["ADT^A04"]', {"H207", "H211"}, "It accepts DFT^P03"),
    ("channels/ehr_visits.toml", 'lane = "patient"', 'lane = "pateint"', {"H202"}, "patient"),
    ("channels/ehr_visits.toml", 'name = "ehr_visits"', 'name = "other"', {"H210"}, ""),
    (
        "channels/ehr_visits.toml",
        '[destination.billing]\ntype = "billing"',
        '[destination.billing]\ntype = "billing"\nanswers_to = "claims_out"',
        {"H201"},
        "Remove answers_to",
    ),
    ("channels/claims_out.toml", 'order = "any"', "", {"H202"}, ""),
    ("channels/claims_out.toml", 'ambiguous = "ask"', "", {"H202"}, ""),
    ("channels/claims_out.toml", '{ secret = "clearway_key" }', '"a key"', {"H202"}, ""),
    ("channels/ehr_fhir.toml", 'type = "fhir_read"', 'type = "billing"', {"H201"}, ""),
    ("channels/claims_out.toml", '"837P", "837I"]\nformat', '"837P"]\nformat', {"H239"}, "837I"),
    (
        "channels/results_to_ehr.toml",
        'takes = ["payment", "remittance", "claim status", "denial"]',
        'takes = ["payment", "denial"]',
        {"H207"},
        "",
    ),
    ("config/hub.toml", 'environment = "test"', 'environment = "production"', {"H506"}, "never mix"),
    ("config/payers/90001_cedar.toml", "clearway", "clearwya", {"H501"}, "clearway"),
    ("config/payers/90001_cedar.toml", '"90001"', "90001", {"H202"}, ""),
    ("config/practice.toml", "1999000114", "1999000115", {"H505"}, "NPPES"),
    ("config/practice.toml", "America/Chicago", "America/Chikago", {"H202"}, ""),
    ("config/fees.csv", ".00", ".001", {"H502"}, ""),
    ("transforms/alder/charges.py", '"FT1-10 | number"', '"FT1-99 | number"', {"H405"}, ""),
    ("transforms/alder/charges.py", '"FT1-10 | number"', '"FT1-10 | numbr"', {"H407"}, "number"),
    ("transforms/alder/charges.py", "kind=kind,", "knid=kind,", {"H407"}, "kind"),
    ("transforms/alder/charges.py", "KINDS.get(", "KIND.get(", {"H407"}, "KINDS"),
    ("config/payers/90001_cedar.toml", 'payer_id = "', "payer_id = 1 # ", {"H202"}, ""),
    ("transforms/alder/charges.py", '"FT1-10 | number"', '"FT1.10 | number"', {"H405"}, "FT1-10"),
    ("transforms/alder/charges.py", "from hub.scripting", "import os\nfrom hub.scripting", {"H402"}, ""),
    ("transforms/alder/charges.py", '"alder/departments.csv"', '"alder/nothing.csv"', {"H401"}, ""),
    ("transforms/alder/claims.py", "destination = ", "x.today(); destination = ", {"H403"}, ""),
    ("transforms/alder/charges.py", "for line in", "for line in in", {"H401"}, ""),
    ("transforms/alder/responses.py", "returns=PartnerFile", "returns=Outgoing", {"H401"}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "codes", "fix"), SPOILED)
def test_a_mistake_is_found_with_its_code_its_line_and_a_suggestion(
    spoil: Spoil, file: str, old: str, new: str, codes: set[str], fix: str
) -> None:
    found = findings(spoil(file, old, new))
    assert codes <= {each.code for each in found}, found
    assert any(each.line > 0 for each in found)
    assert fix in " ".join(each.fix for each in found)


def test_all_mistakes_are_found_at_once(spoil: Spoil) -> None:
    spoil("channels/ehr_visits.toml", "title =", "titel =")
    spoil("config/billing.toml", '"1d"', '"1 day"')
    folder = spoil("config/partners/granite.toml", "receiver_id", "reciever_id")
    assert {found.file for found in load_site(folder).errors} == {
        "channels/ehr_visits.toml",
        "config/billing.toml",
        "config/partners/granite.toml",
        "config/payers/90005_granite.toml",
    }


def test_a_channel_that_cannot_run_is_checked_to_its_end(spoil: Spoil) -> None:
    spoil("channels/ehr_visits.toml", "title =", "titel =")
    spoil("channels/ehr_visits.toml", "listen =", "lissten =")
    folder = spoil("channels/ehr_visits.toml", ":charges", ":charge")
    found = findings(folder)
    assert [(each.code, each.fix) for each in found if each.code == "H204"] == [("H204", 'did you mean "charges"?')]
    assert {'did you mean "title"?', 'did you mean "listen"?'} <= {each.fix for each in found}


def test_two_listeners_at_one_address_and_two_steps_of_one_name_are_found(copied: Path, spoil: Spoil) -> None:
    channel = (copied / "channels/ehr_visits.toml").read_text()
    (copied / "channels/second.toml").write_text(channel.replace('name = "ehr_visits"', 'name = "second"'))
    clash = next(each for each in findings(copied) if each.code == "H232")
    assert clash.file == "channels/second.toml"
    assert "ehr_visits" in clash.sentence
    twice = next(each for each in findings(spoil("channels/second.toml", 'name = "charges"', 'name = "visit"')))
    assert twice.code == "H234"


def test_an_address_at_which_another_program_listens_is_named_and_the_hubs_own_is_not(copied: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f'listen = "tcp:127.0.0.1:{other.getsockname()[1]}"'
        channel = (copied / "channels/ehr_visits.toml").read_text()
        (copied / "channels/ehr_visits.toml").write_text(re.sub(r"listen = .*", listen, channel))
        taken = next(each for each in taken_ports(load_site(copied)) if each.file == "channels/ehr_visits.toml")
        assert (taken.code, taken.level) == ("H233", "warning")
        take_files(copied)
        with lock_run(copied):
            assert not [each for each in taken_ports(load_site(copied)) if each.file == "channels/ehr_visits.toml"]


def test_what_a_setting_should_be_is_said_in_words(spoil: Spoil) -> None:
    said = {each.sentence for each in findings(spoil("channels/claims_out.toml", "takes = [", 'takes = "claim" # ['))}
    assert any('"takes": this is a list: write it in brackets' in sentence for sentence in said), said


def test_a_literal_in_the_place_of_a_secret_is_refused_and_not_repeated(spoil: Spoil) -> None:
    folder = spoil("channels/claims_out.toml", '{ secret = "clearway_key" }', '"PRIVATE"')
    assert not any("PRIVATE" in f"{found.sentence}{found.fix}" for found in load_site(folder).findings)


def test_a_step_whose_result_nothing_takes_is_found(spoil: Spoil) -> None:
    folder = spoil(
        "channels/ehr_visits.toml", "[destination.billing]\ntype", '[destination.billing]\ntakes=["Visit"]\ntype'
    )
    unheard = [found for found in findings(folder) if found.code == "H209"]
    assert {found.sentence.split('"')[1] for found in unheard} == {
        "authorisations",
        "charges",
        "appointment",
        "merge",
        "note",
    }


def test_a_destination_that_nothing_reaches_is_found(spoil: Spoil) -> None:
    folder = spoil(
        "channels/ehr_visits.toml",
        "[alerts]",
        '[destination.ehr]\ntype = "mllp"\nendpoint = "tcp:a.example:1"\norder = "any"\nambiguous = "retry"\n[alerts]',
    )
    found = only(folder)
    assert (found.code, found.place) == ("H208", "channels/ehr_visits.toml:58:1")


def test_a_fast_clock_in_production_is_refused(spoil: Spoil) -> None:
    folder = spoil("config/hub.toml", '"test"', '"production"')
    with (folder / "config/hub.toml").open("a") as file:
        file.write("[clock]\nday_seconds = 30.0\nbusiness_epoch = 2026-11-09T08:00:00-06:00\n")
        file.write("real_epoch = 2026-11-09T08:00:00-06:00\n")
    assert any("real time" in found.sentence for found in load_site(folder).errors)


def test_a_site_with_errors_will_not_run(spoil: Spoil) -> None:
    folder = spoil("config/hub.toml", "title =", "titel =")
    with pytest.raises(SiteError, match="titel"):
        load_site(folder).require_sound()


def test_the_overlay_changes_settings_by_path_and_says_so(copied: Path) -> None:
    (copied / "config/local.toml").write_text(
        '"channels.ehr_visits.source.listen" = "tcp:127.0.0.1:0"\n'
        '"channels.responses_in.source[1].poll" = "2s"\n'
        '"hub.clock.day_seconds" = 30.0\n'
        '"hub.clock.business_epoch" = 2026-11-09T08:00:00-06:00\n'
        '"hub.clock.real_epoch" = 2026-11-09T08:00:00-06:00\n'
        '"payers.90001.timely_filing_days" = 10\n'
        '"channels.ehr_vists.title" = "nobody"\n'
    )
    site = load_site(copied)
    assert site.channels["ehr_visits"].sources[0][1].listen.port == 0
    assert [settings.poll for _, settings in site.channels["responses_in"].sources] == [600.0, 2.0]
    assert site.clock.day_seconds == 30
    assert site.billing is not None
    assert site.billing.payers["90001"].timely_filing_days == 10
    notes = [found for found in site.findings if found.code == "H212"]
    assert [found.line for found in notes] == [1, 2, 3, 4, 5, 6]
    assert [(found.code, found.line) for found in site.errors] == [("H213", 7)]


def test_the_bundle_is_named_by_what_is_in_it(copied: Path) -> None:
    before = load_site(copied).bundle
    assert load_site(copied).bundle == before
    (copied / "transforms/alder/departments.csv").write_text("code,place_of_service\nFM,11\n")
    assert load_site(copied).bundle != before


def test_every_finding_of_these_tests_can_be_explained() -> None:
    assert {code for *_, codes, _ in SPOILED for code in codes} <= set(EXPLANATIONS)


RULES = [
    ('require = "2000A.PRV03"', 'require = "2000A.PRV3"', "H522"),
    ('require = "2000A.PRV03"', 'set = { taxonomy = "207Q00000X" }', "H523"),
    ('require = "2000A.PRV03"', 'require = "note"', "H521"),
    ('require = "2000A.PRV03"', 'require = "taxonomy"\nhold = true', "H524"),
    ('require = "2000A.PRV03"', 'check = "alder.rules:nothing"', "H527"),
    ('require = "2000A.PRV03"', 'require = "taxonomy"\nreplaces = "CL-02"', "H525"),
    ('form = "837P"', 'fromm = "837P"', "H201"),
    ('[[rule.sample]]\nresult = "pass"', "", "H520"),
    ("say = ", "# say = ", "H202"),
]


@pytest.mark.parametrize(("old", "new", "code"), RULES)
def test_a_mistake_in_a_rule_is_found_with_its_line(spoil: Spoil, old: str, new: str, code: str) -> None:
    found = [each for each in findings(spoil("config/payers/90001_cedar.toml", old, new)) if each.code == code]
    assert found
    assert all(each.file == "config/payers/90001_cedar.toml" and each.line > 8 for each in found)


def test_a_rules_function_is_loaded_from_the_sites_scripts(spoil: Spoil, copied: Path) -> None:
    script = "def note(claim):\n    return 'A note.' if claim.note else None\n"
    (copied / "transforms/alder/rules.py").write_text(script)
    spoil("config/rules/practice.toml", "hold = true", 'check = "alder.rules:note"')
    spoil("config/rules/practice.toml", 'claim = { units = "101" }', 'claim = { units = "101", note = "X" }')
    assert findings(copied) == []


def test_two_rules_of_one_name_are_found(spoil: Spoil, copied: Path) -> None:
    text = (copied / "config/rules/practice.toml").read_text()
    (copied / "config/rules/second.toml").write_text(text)
    assert {each.code for each in findings(copied)} == {"H526"}
