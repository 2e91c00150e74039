"""The explorer in Chromium, on a real server: what is clicked, typed and seen."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from gradviz.app import canvas

Open = Any


def item(page: Page, label: str) -> Locator:
    """A node or an edge of the canvas, by the beginning of what a screen reader says of it."""
    return page.locator(f'.gradviz-canvas .item[aria-label^="{label}"]')


def inspector(page: Page) -> Locator:
    return page.get_by_test_id("stColumn").last


def place(page: Page) -> str:
    """Where the drawing stands and how large it is."""
    return str(page.locator(".gradviz-canvas .area > svg").get_attribute("style"))


@pytest.fixture(scope="module")
def opened(open_page: Open) -> Page:
    page: Page = open_page(expression="x*y + sin(pi*x)", at=["x=2", "y=3"])
    return page


@pytest.fixture
def explorer(opened: Page) -> Page:
    """The page as it opens: nothing selected, nothing looked for, the drawing fitted."""
    opened.get_by_label("Find a name").fill("")
    opened.locator(".gradviz-canvas .area").click(position={"x": 5, "y": 5})
    opened.get_by_label("Fit the graph to the canvas").click()
    expect(inspector(opened)).to_contain_text("Click a value or an arrow")
    return opened


def test_a_click_on_a_node_or_an_edge_shows_it_and_writes_the_address(explorer: Page) -> None:
    page = explorer
    item(page, "leaf x").click()
    expect(inspector(page)).to_contain_text("6.141592653589793")
    formula = inspector(page).locator(".katex-display").last
    expect(formula).to_contain_text("(2 paths)")
    assert formula.evaluate("(shown) => shown.scrollWidth <= shown.clientWidth")
    expect(item(page, "leaf x")).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile("selected=node_0"))
    spot = (
        item(page, "edge b → c")
        .locator("path.line")
        .evaluate(
            "(path) => { const at = path.getPointAtLength(path.getTotalLength() / 2).matrixTransform(path.getScreenCTM());"
            " return [at.x, at.y]; }"
        )
    )
    page.mouse.click(spot[0], spot[1])
    expect(inspector(page)).to_contain_text("∂c/∂b")
    expect(inspector(page)).to_contain_text("✓ match local partial")
    assert page.locator(".gradviz-canvas .item.way").count() == 4  # b → c, c, c → d, d
    page.locator(".gradviz-canvas .area").click(position={"x": 5, "y": 5})
    expect(inspector(page)).to_contain_text("Click a value or an arrow")
    expect(page).not_to_have_url(re.compile("selected="))


def test_what_is_known_of_a_node_stands_in_the_inspector_before_the_server_could_answer(explorer: Page) -> None:
    """One task of the browser: it hears of nothing in between."""
    item(explorer, "op c = sin(b)").evaluate("(node) => { window.node = node; }")
    seen = explorer.evaluate(
        """() => {
          window.node.focus();
          window.node.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
          return [...document.querySelectorAll("[data-testid=stColumn]")].at(-1).innerText;
        }"""
    )
    assert seen.split("\n") == [
        "c", "function sin", "c = sin(b)", "value −2.4492935982947064e−16", "cotangent 1",
        "✓ match value, sum of contributions",
    ]  # fmt: skip
    expect(inspector(explorer)).to_contain_text("device cpu")
    expect(explorer.locator(".gradviz-glance")).to_be_empty()


def test_the_inspector_never_shows_what_is_not_selected_while_answers_come_late(explorer: Page) -> None:
    def data(selected: str, given: int = 1, nothing: str | None = "Nothing") -> dict[str, Any]:
        return {"selected": selected, "given": given, "nothing": nothing}

    seen = explorer.evaluate(
        """async ([code, steps]) => {
          const made = await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
          const parentElement = document.createElement("div"), told = [], seen = [];
          parentElement.innerHTML = '<div class="gradviz-glance"></div>';
          let ends = () => {};
          for (const step of steps) {
            if (typeof step === "string") {
              const detail = {id: step, title: `<b>${step}`, remark: "", lines: ["value 1"]};
              window.dispatchEvent(new CustomEvent("gradviz-select", {detail}));
            } else ends = made.default({data: step, parentElement, setTriggerValue: (_, event) => told.push(event.what)});
            seen.push(parentElement.textContent);
          }
          ends();
          window.dispatchEvent(new CustomEvent("gradviz-select", {detail: {id: "x", title: "x", remark: "", lines: []}}));
          return [told, seen];
        }""",
        [
            resources.files("gradviz.app.glance").joinpath("glance.js").read_text(),
            [
                data(""), "a", "b", data("a"), data("b"), "a", "b", data("a"), data("b"), "",
                data(""), "a", data("box", given=2), data("", nothing=None), "a",
            ],
        ],
    )  # fmt: skip
    a, b = "<b>avalue 1", "<b>bvalue 1"
    assert seen == [
        ["a", "b", "a", "b", "", "a", "a"],
        ["", a, b, b, "", a, "", b, "", "Nothing", "", a, "", "", ""],
    ]


def test_every_node_and_edge_is_reached_by_keyboard(explorer: Page) -> None:
    page = explorer
    page.get_by_label("Fit the graph to the canvas").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    seen = []
    for _ in range(6):
        seen.append(page.locator(".gradviz-canvas .item:focus").get_attribute("aria-label"))
        page.keyboard.press("ArrowDown")
    assert [label.partition(";")[0] for label in seen] == [
        "leaf x", "leaf y", "op a = x·y", "op b = π·x", "op c = sin(b)", "output d = a + c",
    ]  # fmt: skip
    assert seen[0] == "leaf x; value 2; ∂d/∂x = 6.142"
    edges = set()
    page.keyboard.press("ArrowRight")
    for _ in range(6):
        edges.add(page.locator(".gradviz-canvas .item:focus").get_attribute("aria-label").partition(";")[0])
        page.keyboard.press("ArrowDown")
    assert edges == {"edge x → a", "edge y → a", "edge x → b", "edge b → c", "edge a → d", "edge c → d"}
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(inspector(page)).to_contain_text("function mul")
    page.keyboard.press("Escape")
    expect(inspector(page)).to_contain_text("Click a value or an arrow")


def test_wheel_drag_and_buttons_move_the_drawing(explorer: Page) -> None:
    page = explorer
    fitted = place(page)
    page.mouse.move(400, 500)
    page.mouse.wheel(0, -300)  # which waits for no answer
    expect(page.locator(".gradviz-canvas .area > svg")).not_to_have_attribute("style", fitted)
    larger = place(page)
    page.mouse.down()
    page.mouse.move(460, 540, steps=3)
    page.mouse.up()
    dragged = place(page)
    assert len({fitted, larger, dragged}) == 3
    assert larger.partition("scale")[2] == dragged.partition("scale")[2] != fitted.partition("scale")[2]
    expect(inspector(page)).to_contain_text("Click a value or an arrow")
    page.get_by_label("Fit the graph to the canvas").click()
    assert place(page) == fitted
    page.get_by_label("Zoom in").click()
    assert place(page) != fitted
    item(page, "op c").hover()
    expect(page.locator(".gradviz-canvas .hint")).to_contain_text("value −2.4492935982947064e−16")


def test_the_panel_is_as_high_as_the_canvas_beside_it(explorer: Page) -> None:
    canvas_box = explorer.locator(".gradviz-canvas").bounding_box()
    panel = explorer.locator(".st-key-gradviz-panel")
    expect(panel).to_be_visible()  # until the server has answered, the glance is in its place
    panel_box = panel.bounding_box()
    assert canvas_box is not None and panel_box is not None
    assert (panel_box["y"], panel_box["height"]) == pytest.approx((canvas_box["y"], canvas_box["height"]), abs=1)


def test_histogram_and_surface_arrive_in_the_browser_with_their_texts(open_page: Open) -> None:
    vector = [round(0.1 * place, 1) for place in range(24)]
    page = open_page(expression="sum(v^2)", at=[f"v={vector}"], selected="node_0", panel="contour")
    for name in ("histogram of value: 0 to 2.3", "the surface over v[0] and v[1]"):
        image = page.get_by_role("img", name=name)
        expect(image).to_be_visible()
        assert image.evaluate("(image) => image.naturalWidth > 0")


FOCUSED = """() => {
  let at = document.activeElement;
  while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return at === document.body ? "" : at.getAttribute("aria-label") || at.labels?.[0]?.innerText || at.innerText;
}"""
"""The name of what has the focus."""


def test_tab_leads_through_the_page_and_out_of_it_and_each_stop_has_a_name(open_page: Open) -> None:
    page, stops = open_page(expression="x*y", at=["x=2", "y=3"], panel="derivation"), []
    expect(page.get_by_role("heading", name="Forward pass")).to_be_visible()
    expect(page.get_by_label("Find a name")).to_be_visible()  # the picture comes in its own time
    expect(item(page, "leaf x")).to_be_visible()
    while len(stops) < 40:
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUSED)
        if not stop:
            break
        stops.append(stop)
    else:
        pytest.fail(f"no way out: {stops}")
    wanted = ["Expression", "x =", "slider of x", "y =", "slider of y", "Find a name", "Zoom out", "Zoom in"]
    assert stops[stops.index("x =") - 1 :][: len(wanted)] == wanted
    assert stops[-2:] == ["Gradient of", "in full"]


def test_search_finds_and_selects(explorer: Page) -> None:
    page = explorer
    search = page.get_by_label("Find a name")
    search.fill("c")
    assert page.locator(".gradviz-canvas .item.found").count() == 3  # c, b → c, c → d
    search.press("Enter")
    expect(inspector(page)).to_contain_text("function sin")


def test_a_link_restores_the_selection_and_new_values_keep_it(open_page: Open) -> None:
    page = open_page(expression="u*v^2", at=["u=4", "v=3"], selected="node_1", direction="BT", panel="check")
    expect(item(page, "leaf v")).to_have_class(re.compile("selected"))
    expect(inspector(page)).to_contain_text("∂b/∂v")
    page.get_by_role("textbox", name="u =").fill("5")
    page.get_by_role("textbox", name="u =").press("Enter")
    expect(item(page, "leaf v; value 3; ∂b/∂v = 30")).to_have_class(re.compile("selected"))
    expect(page).to_have_url(re.compile("at=u%3D5"))


def test_the_player_steps_in_the_page(explorer: Page) -> None:
    player = explorer.locator(".gradviz-player")
    expect(player.locator("output")).to_have_text("1 / 13")
    player.get_by_label("Next").click()
    player.press("End")
    expect(player.locator("output")).to_have_text("13 / 13")
    shown = explorer.locator(".gradviz-player .stage").bounding_box()
    assert shown is not None and shown["width"] > 2 * shown["height"]  # from left to right, as on the canvas
    expect(player).to_contain_text("∂d/∂x = 6.142")
    assert player.get_attribute("data-theme") == "light"


def test_the_app_opens_on_the_target_of_the_command_line_in_dark_on_a_phone(open_page: Open) -> None:
    page = open_page(dark=True, width=400)
    expect(item(page, "leaf u; value 4; ∂b/∂u = 9")).to_be_visible()
    ground = "(area) => getComputedStyle(area).backgroundColor"
    area = page.locator(".gradviz-canvas .area")
    expect(area).to_be_visible()
    assert area.evaluate(ground) == "rgb(22, 24, 29)"
    expect(page.locator(".gradviz-player")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("radio", name="Over two variables").click()
    chart = page.get_by_test_id("stVegaLiteChart").locator("svg")
    expect(chart).to_be_visible()
    assert chart.evaluate("(drawn) => drawn.getBoundingClientRect().right <= innerWidth")


def test_hostile_text_stays_text(open_page: Open) -> None:
    nasty = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    page = open_page(expression=nasty, at=[f"{nasty}=1"], selected=nasty, direction=nasty)
    expect(page.get_by_role("alert")).to_contain_text("at column")
    page.get_by_role("textbox", name="Expression").fill("x")
    page.get_by_role("textbox", name="Expression").press("Enter")
    expect(item(page, "leaf x").or_(item(page, "output x"))).to_be_visible()
    page.get_by_role("textbox", name="x =").fill(nasty)
    page.get_by_role("textbox", name="x =").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("neither a number")


def test_the_picture_follows_every_key_and_a_caret_stands_under_what_is_wrong(open_page: Open) -> None:
    page = open_page(expression="u*v", at=["u=4", "v=3"], panel="check")
    expect(item(page, "output a = u·v")).to_be_visible()
    page.get_by_role("textbox", name="Expression").press("End")
    page.keyboard.type(" + ")
    expect(page.get_by_role("alert")).to_contain_text("at column 7")
    expect(item(page, "output a = u·v")).to_be_visible()
    shown = page.locator(".st-key-gradviz-shown > :last-child")
    expect(page.get_by_text("Still of u*v at u = 4, v = 3")).to_be_visible()
    expect(shown).to_have_css("opacity", "0.4")
    page.keyboard.type("7")
    expect(item(page, "output b = a + 7")).to_be_visible()
    expect(page.get_by_text("Still of")).to_have_count(0)
    expect(shown).to_have_css("opacity", "1")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"expression=u%2Av\+%2B\+7"))
    expect(page.get_by_role("textbox", name="Expression")).to_be_focused()


def test_of_an_svg_only_drawing_is_kept(explorer: Page) -> None:
    page = explorer
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" onload="bad()">'
        '<style>*{}</style><script>bad()</script><foreignObject><p/></foreignObject><animate/><a href="javascript:bad()"/>'
        '<g id="node_0" class="node" onclick="bad()" style="background: url(http://x)">'
        '<image xlink:href="data:image/png;base64,AAAA"/><image xlink:href="http://x/a.png"/>'
        '<path d="M0,0" fill="url(http://x)" stroke="red"/><text>a</text></g></svg>'
    )
    kept = page.evaluate(
        """async ([text, code]) => {
          const made = await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
          return [new XMLSerializer().serializeToString(made.sanitized(text)), made.sanitized("<p>no") === null];
        }""",
        [svg, canvas.script()],
    )
    assert kept == [
        '<svg xmlns="http://www.w3.org/2000/svg">'
        '<g id="node_0" class="node">'
        '<image xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="data:image/png;base64,AAAA"/><image/>'
        '<path d="M0,0" stroke="red"/><text>a</text></g></svg>',
        True,
    ]


def test_a_drawing_that_comes_in_between_does_not_take_the_focus_of_what_is_opened(explorer: Page) -> None:
    def data(revision: str, *items: dict[str, str]) -> dict[str, Any]:
        groups = "".join(f'<g id="{item["id"]}"><path stroke="red" d="M0,0L9,9"/></g>' for item in items)
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{groups}</svg>'
        whole = [{"name": "", "label": item["id"], "hover": [], **item} for item in items]
        return {"revision": revision, "svg": svg, "items": whole, "words": {}, "given": 1, "selection": ""}

    group = {"id": "group", "kind": "group", "unfold": "cell"}
    leaf, box = {"id": "leaf", "kind": "node"}, {"id": "box", "kind": "box", "fold": "cell"}
    seen = explorer.evaluate(
        """async ([code, drawings]) => {
          const made = await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
          const parentElement = document.body.appendChild(document.createElement("div")), told = [], seen = [];
          parentElement.innerHTML = '<div class="gradviz-canvas"></div>';
          const show = (data) => made.default({data, parentElement, setTriggerValue: (_, event) => told.push(event)});
          const ends = show(drawings[0]);
          parentElement.querySelector("#group").focus();
          parentElement.querySelector("#group").dispatchEvent(new KeyboardEvent("keydown", {key: "+", bubbles: true}));
          for (const data of drawings.slice(1)) { show(data); seen.push(document.activeElement.id); }
          ends();
          parentElement.remove();
          return [told, seen];
        }""",
        [
            canvas.script(),
            [data("a", leaf, group), data("checked", leaf, group), data("open", leaf, box)],
        ],
    )
    assert seen == [[{"kind": "unfold", "what": "cell"}], ["group", "box"]]


@pytest.mark.parametrize("width", [390, 800, 1000, 1400])
def test_what_a_graph_is_still_of_covers_no_control_of_the_canvas(open_page: Open, width: int) -> None:
    page = open_page(expression="z = u*v + sin(pi*u); log(z + 1)*exp(-z) + z", at=["u=4", "v=3"], width=width)
    page.get_by_role("textbox", name="Expression").press("End")
    page.keyboard.type(" + ")
    told = page.get_by_text("Still of z = u*v")
    expect(told).to_be_visible()
    banner, bar = told.bounding_box(), page.get_by_role("toolbar", name="Canvas").bounding_box()
    assert banner and bar
    assert banner["x"] + banner["width"] <= bar["x"] or banner["y"] >= bar["y"] + bar["height"]
    page.close()
