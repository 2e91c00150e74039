"""The model page in Chromium, on a real server: groups, modules, findings and saved traces, by mouse and by keyboard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from test_in_browser import inspector, item

import gradviz

Open = Any


@pytest.fixture(scope="module")
def opened(open_page: Open) -> Page:
    page: Page = open_page(page="model", model="LSTM")
    expect(item(page, "group 8 × cell")).to_be_visible()
    expect(page.get_by_text(re.compile(r"\d+ edges: .*match")).first).to_be_visible(timeout=120_000)
    return page


@pytest.fixture
def lstm(opened: Page) -> Page:
    """The page as it opens: nothing selected, nothing open."""
    again = opened.get_by_role("button", name="Fold as at first")
    if again.count():
        again.click()
    expect(again).to_have_count(0)
    opened.locator(".gradviz-canvas .area").click(position={"x": 5, "y": 5})
    opened.get_by_label("Fit the graph to the canvas").click()
    opened.get_by_role("radio", name="Selected").click()
    expect(inspector(opened)).to_contain_text("Click a value or an arrow")
    return opened


def test_a_double_click_opens_a_group_and_closes_it_again(lstm: Page) -> None:
    page = lstm
    item(page, "group 8 × cell").dblclick()
    expect(item(page, "opened call cell@1")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".gradviz-canvas .hint.shown").filter(has_text="8 × cell")).to_have_count(0)
    expect(page).to_have_url(re.compile("unfold=cell%401"))
    expect(item(page, "group 7 × cell@2")).to_be_visible()
    expect(item(page, "opened call cell@1")).to_have_attribute("aria-expanded", "true")
    item(page, "opened call cell@1").locator("text").dblclick()
    expect(item(page, "group 8 × cell")).to_have_attribute("aria-pressed", "true")
    expect(page).not_to_have_url(re.compile("unfold="))


def test_plus_opens_and_minus_closes_by_keyboard(lstm: Page) -> None:
    page = lstm
    page.get_by_label("Fit the graph to the canvas").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    while not str(page.locator(".gradviz-canvas .item:focus").get_attribute("aria-label")).startswith("group 8 × cell"):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("+")
    expect(page.locator('.gradviz-canvas .item:focus[aria-label^="opened call cell@1"]')).to_be_visible()
    page.keyboard.press("-")
    expect(page.locator('.gradviz-canvas .item:focus[aria-label^="group 8 × cell"]')).to_be_visible()


def test_the_inspector_opens_any_call_of_a_group_and_folds_it(lstm: Page) -> None:
    page = lstm
    item(page, "group 8 × cell").click()
    expect(inspector(page)).to_contain_text("8 calls that are alike")
    inspector(page).get_by_role("button", name="Unfold it").click()
    expect(inspector(page)).to_contain_text("opened call")
    inspector(page).get_by_role("button", name="Fold it", exact=True).click()
    expect(item(page, "group 8 × cell")).to_be_visible()


def test_the_modules_open_close_and_select(lstm: Page) -> None:
    page = lstm
    page.get_by_role("radio", name="Modules").click()
    rows = page.get_by_role("treeitem")
    expect(rows).to_have_count(9)
    rows.nth(2).locator(".arrow").click()
    expect(item(page, "opened call cell@3")).to_have_attribute("aria-pressed", "true")
    expect(rows.nth(2)).to_have_attribute("aria-expanded", "true")
    rows.nth(8).click()
    expect(item(page, "group head")).to_have_attribute("aria-pressed", "true")
    expect(rows.nth(8)).to_have_attribute("aria-selected", "true")
    rows.nth(2).focus()
    page.keyboard.press("ArrowLeft")
    expect(item(page, "group 8 × cell")).to_be_visible()


def test_every_op_is_drawn_where_that_is_asked_for(lstm: Page) -> None:
    page = lstm
    page.get_by_role("radio", name="every op").click()
    expect(page.locator(".gradviz-canvas .item.group")).to_have_count(0)
    expect(page.locator(".gradviz-canvas .item.node").first).to_be_attached()
    assert page.locator(".gradviz-canvas .item.node").count() > 120
    page.get_by_role("radio", name="in groups").click()
    expect(item(page, "group 8 × cell")).to_be_visible()


def test_a_saved_trace_is_opened_and_a_finding_leads_to_its_node(open_page: Open, tmp_path: Path) -> None:
    file = tmp_path / "run.gradviz"
    gradviz.trace("sqrt(x - x)*y", x=2.0, y=3.0, device="cpu").save(file)
    page = open_page(page="model")
    page.get_by_role("button", name="Open a saved trace").click()
    crafted = tmp_path / "<img src=x onerror=alert(1)>.gradviz"
    crafted.write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    page.locator("input[type=file]").set_input_files(crafted)
    expect(page.get_by_test_id("stAlert")).to_contain_text("<img src=x onerror=alert(1)>.gradviz' is not a graph")
    page.locator("input[type=file]").set_input_files(file)
    expect(item(page, "leaf x; value 2")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text(re.compile(r"^Diagnosis: \d error"))).to_be_visible()
    page.get_by_role("radio", name="Findings").click()
    page.get_by_role("option").first.click()
    expect(page.locator(".gradviz-canvas .item.selected")).to_have_count(1)


def test_the_pages_keep_their_state_when_one_is_left(open_page: Open) -> None:
    page = open_page(expression="u*v", at=["u=4", "v=7"], selected="node_1")
    page.get_by_role("radio", name="Model").click()
    expect(page).to_have_url(re.compile(r"/\?page=model&model=perceptron"))
    expect(item(page, "leaf weight")).to_be_visible()
    page.get_by_role("radio", name="Expression").click()
    expect(item(page, "leaf v; value 7")).to_have_attribute("aria-pressed", "true")
    expect(page).not_to_have_url(re.compile("model"))


def scale_of(page: Page) -> float:
    """Of the drawing on the canvas, in which letters of values are 13 pixels high at 1."""
    found = re.search(r"scale\(([\d.]+)\)", str(page.locator(".gradviz-canvas .area > svg").get_attribute("style")))
    assert found is not None
    return float(found[1])


def test_a_large_drawing_starts_readable_at_the_output_and_is_fitted_when_asked(open_page: Open) -> None:
    page = open_page(page="model", model="LSTM", detail="ops")
    expect(item(page, "output")).to_be_in_viewport()
    assert scale_of(page) == 0.85
    page.get_by_label("Fit the graph to the canvas").click()
    assert scale_of(page) < 0.7


def test_a_drawing_that_lies_starts_on_a_phone_where_it_is_read_from(open_page: Open) -> None:
    page = open_page(expression="x*y + sin(pi*x)", at=["x=2", "y=3"], direction="LR", width=390)
    leaf, area = item(page, "leaf x").bounding_box(), page.locator(".gradviz-canvas .area").bounding_box()
    assert leaf is not None and area is not None and area["x"] <= leaf["x"]
    assert leaf["x"] + leaf["width"] <= area["x"] + area["width"]
    assert scale_of(page) == 0.85


def test_a_narrow_dark_page_starts_readable_at_the_output_and_has_no_sideways_scrolling(open_page: Open) -> None:
    page = open_page(page="model", model="LSTM", detail="ops", dark=True, width=400)
    area = page.locator(".gradviz-canvas .area")
    expect(item(page, "output")).to_be_in_viewport()
    bar, output = page.locator(".gradviz-canvas .bar").bounding_box(), item(page, "output").bounding_box()
    assert bar is not None and output is not None and bar["y"] + bar["height"] <= output["y"]
    assert scale_of(page) == 0.85
    assert area.evaluate("(area) => getComputedStyle(area).backgroundColor") == "rgb(22, 24, 29)"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
