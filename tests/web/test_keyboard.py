"""Every page walked through with the Tab key in Chromium.

What is held here of WCAG 2.2: 1.4.11 (the focus mark's contrast), 2.1.1 and 2.1.2 (everything is reached, nothing is a
trap), 2.4.1 (the skip link), 2.4.3 (order), 2.4.7 and 2.4.11 (the focus is seen and not hidden).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from hub.web.routes import ROUTES

from .conftest import World, every_page, signed_in

pytestmark = pytest.mark.browser

LOOKING = (Path(__file__).parent / "keyboard.js").read_text()
UNFOLDED = "for (const each of document.querySelectorAll('details')) each.open = true"
#: Routes that answer with something else than a page of their own.
NO_PAGE = re.compile(r"^/live/|\.(csv|json)$|^/queues$")
#: The parts of a date are stops within one field; so many presses may go by in one.
PARTS_OF_A_DATE = 8


@dataclass(frozen=True)
class Walk:
    """One way through a page: what the page has, what Tab came to, and whether it came out again."""

    page: dict[str, Any]
    seen: list[dict[str, Any]]
    left: bool

    def faults(self) -> list[str]:
        """Everything that somebody without a mouse would stumble over, a sentence each."""
        names, order = self.page["names"], [stop["at"] for stop in self.seen if stop["at"] >= 0]
        found = [f"{name} is put out of order by its tabindex." for name in self.page["jumps"]]
        found += [f"Tab never comes to {name}." for at, name in enumerate(names) if at not in order]
        found += [f"Tab comes to {names[at]} twice." for at in sorted(set(order)) if order.count(at) > 1]
        found += [f"{names[then]} comes after {names[now]}." for now, then in pairwise(order) if then < now]
        for stop in self.seen:
            if stop["at"] < 0 and not stop["scrolls"]:
                found.append(f"{stop['name']} is a stop and cannot be used.")
            if not stop["marked"]:
                found.append(f"{stop['name']} looks the same with the focus as without it.")
            elif stop["contrast"] < 3:
                found.append(f"The focus mark of {stop['name']} has a contrast of {stop['contrast']:.1f}.")
            if not stop["shown"]:
                found.append(f"{stop['name']} has the focus and is out of sight.")
        if not self.left:
            found.append(f"The focus does not leave the page; it is at {self.seen[-1]['name']}.")
        return found


def walked(page: Page) -> Walk:
    """Press Tab from the top of *page* until the focus leaves it again."""
    has = page.evaluate(LOOKING)
    for _ in has["names"]:
        page.keyboard.down("Tab")
    for _ in range(PARTS_OF_A_DATE * has["dates"] + 10):
        page.keyboard.down("Tab")
        if page.evaluate("noted().left"):
            break
    page.keyboard.up("Tab")
    return Walk(has, **page.evaluate("noted()"))


def skipped(page: Page, walk: Walk) -> list[str]:
    """What is wrong with the skip link of a page that a walk has left."""
    if not walk.page["skips"] or walk.seen[0]["at"] != 0:
        return ["The first stop is no link to the content."]
    page.locator(".skip").press("Enter")
    if page.evaluate("document.activeElement.id") != "main":
        return ["The skip link does not move the focus into the content."]
    page.keyboard.press("Tab")
    arrived = page.evaluate("look()")
    if walk.page["first"] >= 0 and (arrived is None or arrived["at"] != walk.page["first"]):
        return [f"After the skip link Tab goes to {arrived and arrived['name']}, not to the content's first stop."]
    return []


def test_every_page_is_walked_through_with_the_keyboard(browser: Browser, served: str, world: World) -> None:
    page = signed_in(browser.new_page(viewport={"width": 1280, "height": 720}), served)
    faults = {}
    for path in [*every_page(world), "/no/such/page"]:
        page.goto(served + path)
        page.evaluate(UNFOLDED)
        walk = walked(page)
        faults[path] = [*walk.faults(), *skipped(page, walk)]
    assert {path: list_ for path, list_ in faults.items() if list_} == {}
    page.close()


def test_a_message_in_its_mapping_is_walked_through_too(browser: Browser, at_work: World, served: str) -> None:
    page = signed_in(browser.new_page(viewport={"width": 1280, "height": 720}), served)
    page.goto(f"{served}/messages/{at_work.ids['message']}/mapping")
    expect(page.locator(".script .ran").first).to_be_visible()
    walk = walked(page)
    assert [*walk.faults(), *skipped(page, walk)] == []
    page.close()


def test_in_a_low_or_narrow_window_and_beside_a_notice_no_focus_is_hidden(
    browser: Browser, served: str, world: World
) -> None:
    page = signed_in(browser.new_page(), served)
    paths = ("/?said=saved", f"/queues/items/{world.ids['item3']}?said=resolved", "/remittances/new?said=saved")
    faults = {}
    for width, height in ((1280, 360), (320, 480)):
        page.set_viewport_size({"width": width, "height": height})
        for path in paths:
            page.goto(served + path)
            page.evaluate(UNFOLDED)
            expect(page.locator(".toast")).to_be_visible()
            faults[f"{path} {width}"] = walked(page).faults()
    assert {path: list_ for path, list_ in faults.items() if list_} == {}
    page.close()


def test_escape_closes_the_help_and_the_focus_is_where_it_was(browser: Browser, served: str) -> None:
    page = signed_in(browser.new_page(), served)
    help_ = page.get_by_role("link", name="Keyboard help")
    queues = page.get_by_role("link", name="Queues")
    for opener, key in ((help_, "Enter"), (queues, "?")):
        opener.focus()
        page.keyboard.press(key)
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("button", name="Close")).to_be_focused()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(opener).to_be_focused()
    page.close()


def test_escape_closes_the_menu_of_a_narrow_window_and_the_focus_is_where_it_was(browser: Browser, served: str) -> None:
    page = signed_in(browser.new_page(viewport={"width": 320, "height": 480}), served)
    menu, first = page.get_by_role("link", name="Menu", exact=True), page.locator(".nav a").first
    menu.press("Enter")
    expect(first).to_be_visible()
    page.keyboard.press("Tab")
    expect(first).to_be_focused()
    page.keyboard.press("Escape")
    expect(first).to_be_hidden()
    expect(menu).to_be_focused()
    menu.press("Enter")
    page.get_by_role("link", name="Close the menu").press("Enter")
    expect(first).to_be_hidden()
    expect(page.locator("main")).to_be_focused()
    page.close()


def test_signing_in_starts_at_the_user_name_and_needs_no_pointer(browser: Browser, served: str) -> None:
    page = browser.new_page()
    page.goto(f"{served}/login")
    walk = walked(page)
    assert walk.faults() == []
    assert [stop["name"] for stop in walk.seen] == ["input User name", "input Password", "button Sign in"]
    page.close()


def test_every_address_that_answers_with_a_page_is_among_the_pages_walked(world: World) -> None:
    paths = [path.partition("?")[0] for path in every_page(world)]
    for entry in ROUTES:
        if entry.method == "GET" and not NO_PAGE.search(entry.path):
            address = re.compile(re.sub(r"\{\w+\}", "[^/]+", entry.path))
            assert any(address.fullmatch(path) for path in paths), entry.path
