"""The page of a stored message through the mapping that runs: values beside lines, patient data masked."""

from __future__ import annotations

from hub.site.bundle import take_files

from .conftest import REPOSITORY, World


def test_the_values_of_a_stored_message_stand_beside_the_lines_of_the_script_masked(at_work: World) -> None:
    client = at_work.client("operator")
    address = f"/messages/{at_work.ids['message']}/mapping"
    page = client.get(address).text
    script = (REPOSITORY / "transforms/alder/charges.py").read_text().splitlines()
    line = next(number for number, text in enumerate(script, 1) if "DEPARTMENTS.get" in text)
    assert f'data-n="{line}" class="ran"' in page
    assert "departments.csv:" in page
    assert "<h2>Charge</h2>" in page
    assert "billing: DFT^P03" in page
    family = next(
        text.split("|")[5].split("^")[0]
        for text in (REPOSITORY / "tests/channels/ehr_visits/two_lines/in.hl7").read_text().splitlines()
        if text.startswith("PID")
    )
    assert family not in page
    assert "See the mapping run" in client.get(f"/messages/{at_work.ids['message']}/mapped").text


def test_a_mapping_that_stops_says_where(at_work: World) -> None:
    assert at_work.settings.folder is not None
    script = at_work.settings.folder / "transforms/alder/charges.py"
    script.write_text(script.read_text().replace("kind = KINDS.get(", "kind = {}[1] or KINDS.get("))
    take_files(at_work.settings.folder)
    page = at_work.client("operator").get(f"/messages/{at_work.ids['message']}/mapping").text
    assert "The mapping stops." in page
    assert "transforms/alder/charges.py:" in page


def test_a_site_whose_files_are_not_at_hand_says_so(world: World) -> None:
    page = world.client("operator").get(f"/messages/{world.ids['message']}/mapping")
    assert page.status_code == 200
    assert "not at hand" in page.text
