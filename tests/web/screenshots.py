"""Pictures of every page, of a demonstration in play: ``make screenshots``, or of a hub that runs already.

    python tests/web/screenshots.py [--into FOLDER] [--address URL --user NAME --password WORD] [--status FILE]

``--status`` writes the one picture that the README shows. Nothing of it is a test; the tests look at the same pages.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

SIZES = ((1440, 900), (768, 1024), (390, 844), (320, 700))
SCHEMES = ("light", "dark")
PAGES = {
    "status": "/",
    "channels": "/channels",
    "messages": "/messages?since=any",
    "claims": "/claims",
    "payers": "/payers",
    "tokens": "/me/tokens",
    "emergencies": "/audit/emergencies",
    "accounts": "/accounts",
    "remittances": "/remittances",
    "figures": "/figures",
    "reconcile": "/reconcile",
    "audit": "/audit",
    "users": "/users",
    "me": "/me",
    "reveal": "/reveal",
    "bulk": "/messages/bulk?since=any&onward=errored",
    "figure": "/figures/acceptance/accepted",
    "nothing-there": "/nothing-there",
}
MESSAGE_TABS = ("raw", "parsed", "mapped", "outgoing", "answer", "diff", "log", "replay")
QUEUES = (
    "charge-review", "missing-charges", "claim-edits", "approval", "rejections", "coding", "enrolment", "lost-claims",
    "documents", "denials", "unmatched-payments", "unbalanced-remittances", "credits", "secondary", "messages",
    "deliveries", "anomalies",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Pictures of every page.")
    parser.add_argument("--into", type=Path, default=Path("build/screenshots"))
    parser.add_argument("--address")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--status", type=Path, help="only the README's picture of the status page")
    options = parser.parse_args()
    if options.address:
        take(options.address, options.user, options.password, options)
        return
    with demonstration() as (address, user, password):
        take(address, user, password, options)


@contextmanager
def demonstration() -> Iterator[tuple[str, str, str]]:
    """A demonstration with faults, played to its end; address, user and password."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "demo.out"
        command = [sys.executable, "-m", "hub.cli.main", "demo", "--visits", "60", "--seed", "4", "--faults"]
        command += ["--folder", f"{folder}/demo"]
        with log.open("w") as out:
            playing = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            while "The hub keeps running" not in (text := log.read_text()):
                if playing.poll() is not None:
                    sys.exit(text)
                time.sleep(1)
            address = re.search(r"Pages\s+(http\S+?)/?\s", text)
            sign_in = re.search(r"Sign in\s+(\S+)\s+(\S+)", text)
            assert address is not None
            assert sign_in is not None
            yield address[1], sign_in[1], sign_in[2]
        finally:
            playing.send_signal(signal.SIGINT)
            playing.wait(60)


def take(address: str, user: str, password: str, options: argparse.Namespace) -> None:
    chromium = os.environ.get("HUB_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        state = _signed_in(browser, address, user, password)
        if options.status:
            page = browser.new_context(storage_state=state, viewport={"width": 1440, "height": 1140}).new_page()
            _picture(page, f"{address}/", options.status, whole=False)
        else:
            _every_page(browser, address, state, options.into)
        browser.close()


def _every_page(browser: Browser, address: str, state: object, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    pages = None
    for width, height in SIZES:
        for scheme in SCHEMES:
            context = browser.new_context(
                storage_state=state,  # type: ignore[arg-type]
                viewport={"width": width, "height": height},
                color_scheme=scheme,  # type: ignore[arg-type]
            )
            page = context.new_page()
            pages = pages or PAGES | _found(page, address)
            for name, path in pages.items():
                _picture(page, address + path, into / f"{name}-{width}-{scheme}.png")
            context.close()


def _signed_in(browser: Browser, address: str, user: str, password: str) -> object:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}/login")
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("navigation", name="Main").wait_for()
    return context.storage_state()


def _found(page: Page, address: str) -> dict[str, str]:
    """Pages of single things: the first of each list that shows one."""
    found: dict[str, str] = {"login": "/login"}

    def first(name: str, listing: str, pattern: str) -> str:
        page.goto(address + listing)
        link = re.search(rf'href="({pattern})"', page.content())
        if link:
            found[name] = link[1]
        return link[1] if link else ""

    first("channel", "/channels", r"/channels/claims_out")
    message = first("message", "/messages?since=any&kind=DFT%5EP03", r"/messages/\d+")
    for tab in MESSAGE_TABS if message else ():
        found[f"message-{tab}"] = f"{message}/{tab}"
    claim = first("claim", "/claims?state=partly+paid", r"/claims/\d+") or first("claim", "/claims", r"/claims/\d+")
    if claim:
        found["claim-837"] = f"{claim}/837"
    first("claim-denied", "/claims?state=denied", r"/claims/\d+")
    first("payer", "/payers", r"/payers/\w+")
    first("alert", "/", r"/alerts\?key=[^\"]+")
    first("account", "/accounts", r"/accounts/\d+")
    first("remittance", "/remittances?state=posted", r"/remittances/\d+")
    first("remittance-held", "/remittances?state=held", r"/remittances/\d+")
    found |= {f"queue-{queue}": f"/queues/{queue}" for queue in QUEUES}
    return found


def _picture(page: Page, address: str, file: Path, *, whole: bool = True) -> None:
    page.goto(address)
    page.evaluate("document.fonts.ready")
    file.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=file, full_page=whole)


if __name__ == "__main__":
    main()
