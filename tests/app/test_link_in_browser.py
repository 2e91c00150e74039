"""The address in Chromium: it says what the page shows, however quickly that changes, and back and forward bring it back."""

from __future__ import annotations

import re
import urllib.parse
from typing import Any

from conftest import ready
from playwright.sync_api import Page, expect
from test_in_browser import inspector, item

Open = Any
EXPRESSION = {"expression": "x*y + sin(pi*x)", "at": ["x=2", "y=3"]}
EXPRESSION_SAID = {"expression": ["x*y + sin(pi*x)"], "at": ["x=2", "y=3"]}


def address(page: Page) -> dict[str, list[str]]:
    return urllib.parse.parse_qs(urllib.parse.urlsplit(page.url).query)


def pressed(page: Page, *names: str) -> None:
    """Buttons, one right after the other, whatever the server says in between."""
    for name in names:
        page.get_by_role("radio", name=name).click()


def test_the_address_says_what_was_clicked_last_however_quickly(open_page: Open) -> None:
    page = open_page(**EXPRESSION)
    for _ in range(2):
        pressed(page, "bottom up", "Check against sympy", "Derivation", "as it fits", "left to right", "Finite differences")
        item(page, "leaf x").click()
        item(page, "leaf y").click()
        expect(inspector(page)).to_contain_text("∂d/∂y")
        for said in ("panel=differences", "direction=LR", "selected=node_1"):
            expect(page).to_have_url(re.compile(said))
        ready(page)
        told = {"panel": ["differences"], "direction": ["LR"], "selected": ["node_1"]}
        assert address(page) == EXPRESSION_SAID | told
        pressed(page, "bottom up", "as it fits", "Derivation", "Step by step")
        page.locator(".gradviz-canvas .area").click(position={"x": 5, "y": 5})
        expect(page).not_to_have_url(re.compile("direction|panel|selected"))
        ready(page)
        assert address(page) == EXPRESSION_SAID


def test_back_and_forward_bring_what_the_address_says(open_page: Open) -> None:
    page = open_page(**EXPRESSION)
    item(page, "leaf x").click()
    expect(page).to_have_url(re.compile("selected=node_0"))
    page.get_by_role("radio", name="bottom up").click()
    expect(page).to_have_url(re.compile("direction=BT"))
    page.get_by_role("textbox", name="x =").fill("5")
    expect(page).to_have_url(re.compile("at=x%3D5"))
    page.get_by_role("radio", name="Model").click()
    expect(page).to_have_url(re.compile("direction=BT&page=model&model=perceptron$"))
    expect(item(page, "leaf weight")).to_be_visible()

    page.go_back()
    expect(item(page, "leaf x; value 5")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("textbox", name="x =")).to_have_value("5")
    page.go_back()
    expect(item(page, "leaf x; value 2")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("textbox", name="x =")).to_have_value("2")
    expect(page.get_by_role("radio", name="bottom up")).to_be_checked()
    page.go_back()
    expect(page.get_by_role("radio", name="as it fits")).to_be_checked()
    expect(inspector(page)).to_contain_text("6.141592653589793")
    page.go_back()
    expect(inspector(page)).to_contain_text("Click a value or an arrow")
    expect(page.locator(".gradviz-canvas .item.selected")).to_have_count(0)
    ready(page)
    assert address(page) == EXPRESSION_SAID
    for _ in range(4):
        page.go_forward()
    expect(page.get_by_role("radio", name="Model")).to_be_checked()
    expect(item(page, "leaf weight")).to_be_visible()
    ready(page)
    assert address(page) == {"page": ["model"], "model": ["perceptron"], "direction": ["BT"]}


def test_back_brings_the_model_that_was_left_with_what_was_open_in_it(open_page: Open) -> None:
    page = open_page(page="model", model="LSTM")
    item(page, "group 8 × cell").dblclick()
    expect(page).to_have_url(re.compile("unfold=cell%401"))
    expect(page.get_by_test_id("stProgress")).to_have_count(0)
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="perceptron").click()
    expect(item(page, "leaf weight")).to_be_visible()
    expect(page).to_have_url(re.compile("model=perceptron"))
    expect(page).not_to_have_url(re.compile("unfold"))
    page.go_back()
    expect(item(page, "opened call cell@1")).to_be_visible()
    expect(page).to_have_url(re.compile("model=LSTM"))
