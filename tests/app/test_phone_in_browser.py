"""The explorer on a phone in Chromium: what has no room scrolls where it stands, and a finger learns what a pointer does."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from test_in_browser import item, place

Open = Any
NEURON = "the_weighted_sum = tanh(wx + b); (y - the_weighted_sum)^2"


@pytest.fixture(scope="module")
def phone(open_page: Open) -> Page:
    page: Page = open_page(expression=NEURON, at=["w=0.5", "x=2", "b=-0.25", "y=1"], panel="steps", width=390)
    return page


def box(what: Locator) -> dict[str, float]:
    found = what.bounding_box()
    assert found is not None
    return dict(found)


def is_within(inner: dict[str, float], outer: dict[str, float]) -> bool:
    sides = (("x", "width"), ("y", "height"))
    return all(outer[at] - 1 <= inner[at] and inner[at] + inner[size] <= outer[at] + outer[size] + 1 for at, size in sides)


def test_what_is_below_the_output_is_whole_and_a_tap_tells_of_it(phone: Page) -> None:
    area, node = box(phone.locator(".gradviz-canvas .area")), item(phone, "op the_weighted_sum")
    for name in ("output e", "op d", "op the_weighted_sum", "op c", "leaf b"):
        found = box(item(phone, name))
        assert area["x"] <= found["x"] and found["x"] + found["width"] <= area["x"] + area["width"], name
    node.scroll_into_view_if_needed()
    middle = {axis: box(node)[axis] + box(node)[size] / 2 for axis, size in (("x", "width"), ("y", "height"))}
    finger = phone.context.new_cdp_session(phone)
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [middle]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(phone.locator(".gradviz-canvas .hint.shown")).to_contain_text("value 0.6351489523872873")


def test_a_fitted_drawing_stays_fitted_when_the_window_changes(phone: Page) -> None:
    phone.get_by_label("Fit the graph to the canvas").click()
    fitted = place(phone)
    phone.set_viewport_size({"width": 360, "height": 800})
    expect(phone.locator(".gradviz-canvas .area > svg")).not_to_have_attribute("style", fitted)
    for name in ("output e", "leaf x", "leaf y", "leaf w"):
        assert is_within(box(item(phone, name)), box(phone.locator(".gradviz-canvas .area"))), name


def test_a_player_shows_what_it_speaks_of_in_letters_that_can_be_read_above_its_controls(phone: Page) -> None:
    player = phone.locator(".gradviz-player")
    player.evaluate("(shown) => shown.scrollIntoView({block: 'start'})")
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    stage = player.locator(".stage")
    assert stage.evaluate("(shown) => shown.scrollWidth > shown.clientWidth")
    heights = stage.locator("text").evaluate_all("(all) => all.map((one) => one.getBoundingClientRect().height)")
    assert min(height for height in heights if height) >= 8
    for words in ("= 0.6351", "= 0.1331", "∂e/∂x = "):
        while words not in player.locator(".sentence:not(.ghost)").inner_text():
            player.get_by_label("Next").click()
        told = stage.locator("text", has_text=words).first
        assert is_within(box(told), box(stage)), words
    controls = player.locator(".controls")
    player.evaluate("(shown) => shown.scrollIntoView({block: 'end'})")
    phone.get_by_test_id("stMain").evaluate("(shown) => shown.scrollBy(0, -150)")
    ends = [box(one)["y"] + box(one)["height"] for one in (controls, player)]
    assert ends[0] <= 800 < ends[1] - 50


def test_the_tables_of_a_check_scroll_in_a_box_that_leaves_room_to_scroll_past_it(phone: Page) -> None:
    phone.get_by_role("radio", name="Check against sympy").click()
    tables = phone.get_by_role("region", name="Check")
    expect(tables).to_be_visible()
    assert tables.evaluate("(shown) => shown.scrollHeight > shown.clientHeight && shown.scrollWidth <= shown.clientWidth")
    assert box(tables)["height"] <= 0.7 * 800
    tables.focus()
    phone.keyboard.press("End")
    expect(tables.locator("td.name").last).to_be_in_viewport()


def test_a_short_expression_stands_upright_where_two_shapes_fit_and_lies_where_there_is_room(open_page: Open) -> None:
    page: Page = open_page(expression="x*y + sin(pi*x)", at=["x=2", "y=3"], width=390)
    expect(item(page, "output d")).to_be_visible()

    def is_upright() -> bool:
        output, leaf = item(page, "output d").bounding_box(), item(page, "leaf x").bounding_box()
        return bool(output and leaf and output["y"] + output["height"] < leaf["y"])

    def stands(upright: bool) -> None:
        for _ in range(300):
            if is_upright() == upright:
                return
            page.wait_for_timeout(100)
        pytest.fail(f"upright: {not upright}")

    stands(upright=True)
    area = box(page.locator(".gradviz-canvas .area"))
    for name in ("output d", "op a", "op b", "op c", "leaf x", "leaf y"):
        assert area["x"] <= box(item(page, name))["x"]
        assert box(item(page, name))["x"] + box(item(page, name))["width"] <= area["x"] + area["width"], name
    page.set_viewport_size({"width": 1280, "height": 844})
    stands(upright=False)
