"""A working day in the browser, on what a demonstration left: nothing is simulated but the partners, who have gone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.playing import WAIT, Played, eventually, rows

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

PASSWORD = "a day of four people"
PEOPLE = ("operator", "biller", "auditor", "manager")


@pytest.fixture(scope="module")
def pages(played: Played) -> Iterator[str]:
    """The hub of the demonstration at work again, with four people; the address of its pages."""
    site = played.folder / "site"
    hub = [sys.executable, "-m", "hub.cli.main"]
    for role in PEOPLE:
        add = [*hub, "user", "--site", str(site), "add", role, "--roles", role, "--password-stdin"]
        subprocess.run(add, input=f"{PASSWORD}\n", text=True, check=True, capture_output=True)
    log = played.folder / "day.log"
    with log.open("w") as output:
        running = subprocess.Popen([*hub, "run", "--site", str(site), "--json"], stdout=output, stderr=output)
        try:
            eventually(lambda: '"event": "running"' in log.read_text(), "a hub that runs")
            overlay = tomllib.loads((site / "config" / "local.toml").read_text())
            yield "http://" + overlay["hub.web.listen"].removeprefix("tcp:")
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(WAIT)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = os.environ.get("HUB_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail("Chromium is absent: apt-get install chromium, or name it in HUB_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def sign_in(browser: Browser, pages: str, name: str) -> Page:
    page = browser.new_context().new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{pages}/login")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("navigation", name="Main").wait_for()
    return page


def replay(page: Page, reason: str) -> None:
    """Send the message of the page again, by key and form."""
    page.get_by_role("heading", name="What happened").wait_for()
    page.keyboard.press("r")
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name="Send again").click()
    page.get_by_role("status").filter(has_text="Sent again").wait_for()


def test_an_operator_finds_why_a_queue_stands_and_replays_what_failed(
    chromium: Browser, pages: str, played: Played
) -> None:
    page, site = sign_in(chromium, pages, "operator"), played.folder / "site"
    (batch,) = rows(site, "SELECT message_id FROM delivery WHERE channel = 'claims_out' ORDER BY sequence LIMIT 1")[0]
    page.goto(f"{pages}/messages/{batch}/replay")
    expect(page.get_by_text("This can bill twice").first).to_be_visible()
    page.get_by_role("radio").nth(1).check()
    page.get_by_label("Reason").fill("The partner asks for the file again.")
    page.get_by_role("button", name="Send again").click()
    page.get_by_role("status").filter(has_text="Sent again").wait_for()
    waits = "SELECT attempts > 0 FROM delivery WHERE state = 'queued'"
    eventually(lambda: rows(site, waits) == [(1,)], "a delivery that cannot leave")
    page.goto(f"{pages}/")
    page.get_by_role("link", name="claims_out").first.click()
    stands = page.get_by_role("row").filter(has_text="oldest")

    def seen() -> bool:
        """While it is tried again, nothing waits for a moment."""
        page.reload()
        return stands.count() == 1

    eventually(seen, "the page shows what stands")
    expect(page.locator(".note").filter(has_text="Nothing is lost.")).to_be_visible()
    page.goto(f"{pages}/messages?since=any&channel=ehr_visits&onward=held")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="What happened").wait_for()
    failed = int(page.url.rpartition("/")[2])
    replay(page, "The department is in the table now.")
    again = "SELECT count(*) FROM message WHERE parent_id = ? AND relation = 'replayed'"
    eventually(lambda: rows(site, again, failed) == [(1,)], "the replayed message")


def clear(page: Page) -> int:
    """Do with the item that stands open what its first field is for; keys only. Returns the item's id."""
    link = page.locator(".items li.on a").get_attribute("href") or ""
    for field in ("#f-void-reason", "#f-rebill-reason"):
        if page.locator(field).count():
            page.locator(field).focus()
            break
    else:
        page.locator("#f-resolution").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Tab")
    page.keyboard.type("looked at it, nothing is left to do")
    page.keyboard.press("Tab")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_count(0)
    found = re.search(r"/queues/items/(\d+)", link)
    assert found
    return int(found[1])


def _resolved(site: Path, items: list[int]) -> int:
    marks = ", ".join("?" * len(items))
    return int(rows(site, f"SELECT count(*) FROM work_item WHERE state = 'resolved' AND id IN ({marks})", *items)[0][0])


def test_a_biller_clears_ten_items_by_keyboard(chromium: Browser, pages: str, played: Played) -> None:
    page, site = sign_in(chromium, pages, "biller"), played.folder / "site"
    queues = ("denials", "unmatched-payments", "charge-review", "secondary", "credits", "messages", "claim-edits")
    cleared: list[int] = []
    for queue in (*queues, "rejections", "deliveries"):
        page.goto(f"{pages}/queues/{queue}")
        while len(cleared) < 10 and page.locator(".items li[data-row]").count():
            cleared.append(clear(page))
            eventually(lambda: _resolved(site, cleared) == len(cleared), f"item {cleared[-1]} resolved")
    assert len(set(cleared)) == 10


def test_an_auditor_traces_who_saw_a_patient_and_the_chain_is_whole(
    chromium: Browser, pages: str, played: Played
) -> None:
    (patient,) = rows(played.folder / "site", "SELECT patient_id FROM claim ORDER BY id DESC LIMIT 1")[0]
    biller = sign_in(chromium, pages, "biller")
    biller.goto(f"{pages}/reveal?next=/accounts/{patient}")
    biller.get_by_label("Reason").fill("the patient asks for a statement")
    biller.keyboard.press("Enter")
    number = biller.locator(".lead .seen").first.inner_text()
    auditor = sign_in(chromium, pages, "auditor")
    auditor.goto(f"{pages}/audit")
    auditor.get_by_label("Who saw this patient?").fill(number)
    auditor.keyboard.press("Enter")
    expect(auditor.get_by_role("heading", level=1)).to_contain_text("Who saw account")
    expect(auditor.get_by_text("the patient asks for a statement").first).to_be_visible()
    assert number not in auditor.url
    auditor.get_by_role("link", name="Check the chain").click()
    expect(auditor.get_by_text("Every record fits the one before it.").first).to_be_visible()


def test_a_manager_drills_from_days_in_receivables_to_one_claim(chromium: Browser, pages: str) -> None:
    page = sign_in(chromium, pages, "manager")
    page.goto(f"{pages}/figures?period=all")
    page.get_by_role("link", name="Days in receivables").click()
    row = page.get_by_role("row").filter(has_text="Patients owe")
    behind = row.get_by_role("link").first
    number = int(behind.inner_text().split()[0].replace(",", ""))
    behind.click()
    claims = page.locator("tbody tr")
    expect(claims).to_have_count(number)
    claims.first.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Claim")
    expect(page.get_by_role("heading", name="Why it says what it says")).to_be_visible()
    expect(page.get_by_label("Where the charge of this claim went")).to_contain_text("0.00")
