"""Every page held against WCAG 2.2 A and AA by axe, in Chromium: light and dark, narrow and wide, enlarged, still."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from .conftest import World, every_page, signed_in

pytestmark = pytest.mark.browser

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
EVERYTHING = {"runOnly": {"type": "tag", "values": WCAG}, "resultTypes": ["violations"]}
# The dark scheme changes colours and nothing else.
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "resultTypes": ["violations"]}
AXE = Axe()
SIZES = (1440, 320)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def violations(page: Page, options: dict[str, Any]) -> list[str]:
    found = AXE.run(page, options=options).response["violations"]
    return [f"{each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"]]


def looked_at(page: Page, address: str) -> dict[str, list[str]]:
    """What axe finds on the page at *address*: loaded once, then shown in every size and scheme."""
    page.set_viewport_size({"width": SIZES[0], "height": 800})
    page.emulate_media(color_scheme=SCHEMES[0])
    answer = page.goto(address)
    assert answer is not None
    assert answer.status == 200, address
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    found = {}
    for width in SIZES:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            found[f"{address} {width} {scheme}"] = violations(page, EVERYTHING if scheme == "light" else COLOURS)
    return found


def test_axe_finds_nothing_on_any_page_and_none_is_wider_than_its_window(
    browser: Browser, served: str, world: World
) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    found = looked_at(page, f"{served}/login")
    signed_in(page, served)
    for path in every_page(world):
        found |= looked_at(page, served + path)
    assert {place: list_ for place, list_ in found.items() if list_} == {}
    assert complaints == []
    page.close()


def test_a_message_in_its_mapping_is_as_accessible(browser: Browser, at_work: World, served: str) -> None:
    page = signed_in(browser.new_page(), served)
    found = looked_at(page, f"{served}/messages/{at_work.ids['message']}/mapping")
    assert page.locator(".script .ran").count() > 0
    assert {place: list_ for place, list_ in found.items() if list_} == {}
    page.close()


def test_a_form_that_was_refused_and_revealed_data_are_as_accessible(
    browser: Browser, served: str, world: World
) -> None:
    context = browser.new_context()
    page = signed_in(context.new_page(), served)
    page.goto(f"{served}/queues/items/{world.ids['item0']}")
    page.get_by_role("button", name="Resolve").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose what was done.")
    assert violations(page, EVERYTHING) == []
    page.goto(f"{served}/reveal?next=/accounts/{world.ids['patient']}")
    page.get_by_label("Reason").fill("patient on the phone")
    page.get_by_role("button", name="Reveal").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Quintero, Marisol")
    assert violations(page, EVERYTHING) == []
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page, EVERYTHING) == []
    context.close()


def test_at_twice_the_size_nothing_is_lost(browser: Browser, served: str, world: World) -> None:
    everything = "main :is(a, button, input:not([type=hidden]), select, textarea)"
    page = signed_in(browser.new_page(), served)
    for path in every_page(world):
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto(served + path)
        reached = {}
        for width in (1440, 720):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            seen = "all => all.filter(e => e.offsetParent !== null).length"
            reached[width] = page.locator(everything).evaluate_all(seen)
        assert reached[720] >= reached[1440] - page.locator("td.zero :is(a, button)").count(), path
    page.close()


def test_nothing_moves_for_people_who_asked_for_no_motion(browser: Browser, served: str) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = signed_in(context.new_page(), served)
    moving = page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((e) => {
          const style = getComputedStyle(e);
          return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0;
        }).length"""
    )
    assert moving == 0
    context.close()
