"""Every page held against WCAG 2.2 A and AA by axe, in Chromium: light and dark, narrow and wide, enlarged, still."""

from __future__ import annotations

from typing import Any

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


def violations(page: Page, options: dict[str, Any]) -> list[str]:
    found = AXE.run(page, options=options).response["violations"]
    return [f"{each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1440])
def test_axe_finds_nothing_on_any_page_and_none_is_wider_than_its_window(
    browser: Browser, served: str, world: World, width: int, scheme: Any
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(f"{served}/login")
    found = {"/login": violations(page, EVERYTHING)}
    signed_in(page, served)
    for path in every_page(world):
        answer = page.goto(served + path)
        assert answer is not None
        assert answer.status == 200, path
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        found[path] = violations(page, EVERYTHING if scheme == "light" else COLOURS)
    assert {path: list_ for path, list_ in found.items() if list_} == {}
    assert complaints == []
    context.close()


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
    everything, seen = "main :is(a, button, input:not([type=hidden]), select, textarea)", {}
    for width in (1440, 720):
        context = browser.new_context(viewport={"width": width, "height": 900})
        page = signed_in(context.new_page(), served)
        for path in every_page(world):
            page.goto(served + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            reached = page.locator(everything).evaluate_all("all => all.filter(e => e.offsetParent !== null).length")
            hidden = page.locator("td.zero :is(a, button)").count()
            assert reached >= seen.setdefault(path, reached) - hidden, path
        context.close()


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
