"""The pages in Chromium: with scripts and the keyboard, and whole without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select, update

from hub.store import tables

from .conftest import World, every_page, signed_in

pytestmark = pytest.mark.browser


def test_an_operator_finds_a_message_reveals_it_and_reaches_the_replay_form(
    browser: Browser, served: str, world: World
) -> None:
    page = signed_in(browser.new_page(), served, "operator")
    page.keyboard.press("/")
    page.keyboard.type("A-104421")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="MSG00004471").click()
    expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    page.keyboard.press("2")
    expect(page.get_by_role("heading", name="As it came in")).to_be_visible()
    expect(page.get_by_text("QUINTERO")).to_have_count(0)
    page.get_by_role("link", name="Reveal…").click()
    page.get_by_label("Reason").fill("patient on the phone")
    page.get_by_role("button", name="Reveal").click()
    expect(page.locator("body")).to_contain_text("Patient data is shown to you until")
    expect(page.locator(".raw")).to_contain_text("QUINTERO^MARISOL^<script>")
    page.keyboard.press("r")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Replay")
    page.get_by_label("Reason").fill("The EHR lost it last night.")
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_role("status").filter(has_text="Sent again")).to_be_visible()
    assert sum(command == "replay" for command, _, _ in world.engine.asked) == 1


def test_revealed_data_leaves_a_screen_that_nobody_reloads(browser: Browser, served: str, world: World) -> None:
    page = browser.new_page()
    page.clock.install()
    signed_in(page, served, "biller")
    page.goto(f"{served}/reveal?next=/accounts/{world.ids['patient']}")
    page.get_by_label("Reason").fill("patient on the phone")
    page.get_by_role("button", name="Reveal").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Quintero, Marisol")
    page.clock.fast_forward("15:01")
    expect(page.locator("body")).not_to_contain_text("Quintero")
    page.close()


def test_a_biller_resolves_an_item_with_the_keyboard_alone(browser: Browser, served: str, world: World) -> None:
    page = signed_in(browser.new_page(), served, "biller")
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.wait_for_url("**/queues/*")
    page.goto(f"{served}/queues/denials")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/queues/items/*")
    page.keyboard.press("e")
    page.keyboard.type("appealed")
    page.keyboard.press("Tab")
    page.keyboard.type("asked for a review")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Resolved")).to_be_visible()
    with world.store.connect() as connection:
        states = connection.execute(
            select(tables.work_item.c.resolution).where(tables.work_item.c.state == "resolved")
        ).all()
    assert states == [("appealed",)]


def test_a_biller_clears_three_items_with_the_keyboard_alone(browser: Browser, served: str, world: World) -> None:
    page = signed_in(browser.new_page(), served, "biller")
    page.goto(f"{served}/queues/denials")
    for cleared in range(3):
        expect(page.locator(".items li[data-row]")).to_have_count(3 - cleared)
        page.keyboard.press("e")
        expect(page.get_by_label("What was done")).to_be_focused()
        page.keyboard.type("accepted")
        page.keyboard.press("Tab")
        page.keyboard.type("no more can be done")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").filter(has_text="Resolved")).to_be_visible()
    expect(page.get_by_role("heading", name="Nothing waits here")).to_be_visible()
    with world.store.connect() as connection:
        done = connection.scalars(select(tables.work_item.c.state).where(tables.work_item.c.queue == "denials"))
        assert set(done) == {"resolved"}


def test_figures_change_in_place_without_moving_the_page(browser: Browser, served: str, world: World) -> None:
    page = signed_in(browser.new_page(), served)
    place = page.locator('a[data-live="ehr_visits/received"]')
    expect(place).to_have_text("63")
    page.evaluate("window.scrollTo(0, 200)")
    counter = tables.counter
    with world.store.begin() as connection:
        connection.execute(
            update(counter)
            .where(counter.c.channel == "ehr_visits", counter.c.name.in_(("received", "done")))
            .values(value=counter.c.value + 5)
        )
    expect(place).to_have_text("68")
    assert page.evaluate("window.scrollY") == 200
    page.get_by_role("button", name="Pause updates").click()
    expect(page.locator("#live-note")).to_have_text("Updates are paused")


def test_single_keys_can_be_turned_off(browser: Browser, served: str) -> None:
    page = signed_in(browser.new_page(), served)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.goto(f"{served}/me")
    page.get_by_label("Single keys").select_option("off")
    page.get_by_role("button", name="Save").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_every_page_is_whole_without_scripts(browser: Browser, served: str, world: World) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 320, "height": 800})
    page = signed_in(context.new_page(), served)
    for path in every_page(world):
        answer = page.goto(served + path)
        assert answer is not None
        assert answer.status == 200, path
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    context.close()


def test_without_scripts_an_item_is_resolved_and_a_reveal_given(browser: Browser, served: str, world: World) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = signed_in(context.new_page(), served, "biller")
    page.goto(f"{served}/queues/items/{world.ids['item0']}")
    page.get_by_role("link", name="Reveal…").click()
    page.get_by_label("Reason").fill("working the denials queue")
    page.get_by_role("button", name="Reveal").click()
    expect(page.get_by_text("Quintero, Marisol").first).to_be_visible()
    page.get_by_label("What was done").select_option("appealed")
    page.get_by_role("button", name="Resolve").click()
    expect(page.get_by_text("Resolved. It left the queue.")).to_be_visible()
    context.close()
