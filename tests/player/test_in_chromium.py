"""The page played in Chromium, without a network: one browser run, in which a script presses the keys and buttons."""

from __future__ import annotations

import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import framed_graphs
import pytest
import torch

import gradviz
from gradviz.player import script

NASTY = "</script><img src=x onerror=\"document.title='bad'\">"

DRIVER = """
const found = {errors: []};
window.addEventListener("error", (event) => found.errors.push(event.message));
window.addEventListener("securitypolicyviolation", (event) => found.errors.push("policy: " + event.blockedURI));
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

function probe(root) {
  const get = (selector) => root.querySelector(selector);
  const buttons = [...root.querySelectorAll("button")];
  const label = (name) => buttons.find((one) => one.getAttribute("aria-label").startsWith(name));
  const press = (key) => get("section").dispatchEvent(
    new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true, composed: true}));
  const read = () => ({
    sentence: get(".sentence:not(.ghost)").textContent, count: get("output").textContent, slider: get("input").value,
    spoken: get("input").getAttribute("aria-valuetext"), phase: get("section").dataset.phase,
    lines: [...root.querySelectorAll(".sentence:not(.ghost) .sign")].map((sign) => sign.getClientRects().length),
    texts: [...root.querySelectorAll(".stage > svg text")].filter((one) => one.getClientRects().length)
      .map((one) => one.textContent),
  });
  return {get, label, press, read};
}

async function drive() {
  const {get, label, press, read} = probe(document);
  const run = {start: read()};
  const moved = new Set();
  const place = (name) => JSON.stringify(get(name).getBoundingClientRect());
  for (const key of ["ArrowRight", "PageDown", "ArrowLeft", "End", "ArrowRight", "Home", "ArrowLeft"]) {
    press(key);
    run[Object.keys(run).length + " " + key] = read().count;
  }
  const steps = [];
  press("Home");
  for (;;) {
    steps.push(read());
    moved.add(place(".stage > svg") + place(".controls"));
    const before = read().count;
    label("Next").click();
    if (read().count === before) break;
  }
  run.steps = steps;
  run.places = [...moved];
  get("input").value = 4;
  get("input").dispatchEvent(new Event("input"));
  run.slid = read().count;
  label("First").click(); run.first = read().count;
  label("Last").click(); run.last = read().count;
  label("Step back").click(); run.back = read().count;
  label("First").click();
  get("select").value = "4"; get("select").dispatchEvent(new Event("change"));
  label("Play").click();
  run.playing = Boolean(label("Pause"));
  await wait(700); run.played = read().count;
  label("Pause").click(); const paused = read().count;
  await wait(3000); run.stayed = read().count === paused;
  press(" "); await wait(20000); run.ended = read().count; run.stopped = Boolean(label("Play"));
  const ground = () => getComputedStyle(get("section")).backgroundColor;
  run.light = ground(); label("Light").click(); run.dark = ground();
  run.unnamed = [...document.querySelectorAll("button, input, select, section")]
    .filter((one) => !one.getAttribute("aria-label")).length;
  run.live = get(".sentence:not(.ghost)").getAttribute("aria-live");
  run.outside = [...document.querySelectorAll(".stage > svg text")].filter((one) => {
    const inner = one.getBoundingClientRect(), outer = get(".stage > svg").getBoundingClientRect();
    return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.bottom > outer.bottom + 1;
  }).length;

  const host = document.body.appendChild(document.createElement("div"));
  const shadow = host.attachShadow({mode: "open"});
  const second = mount(shadow, OTHER);
  const other = probe(shadow);
  other.press("ArrowRight");
  run.shadow = other.read();
  run.untouched = read().count;
  second.destroy();
  run.destroyed = shadow.childNodes.length;
  return run;
}
drive().then((run) => Object.assign(found, run), (error) => found.errors.push(String(error)))
  .then(() => { const out = document.createElement("pre"); out.id = "found"; out.textContent = JSON.stringify(found);
                document.body.append(out); });
"""


class Found(HTMLParser):
    """What the driver wrote."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inside, self.text = False, ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inside = dict(attributes).get("id") == "found"

    def handle_data(self, data: str) -> None:
        self.text += data if self.inside else ""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("chromium")
    leaf = torch.tensor(2.0, requires_grad=True)
    other = gradviz.trace(leaf * leaf, names={NASTY: leaf}).player().data
    driver = DRIVER.replace("OTHER", json.dumps(other).replace("<", "\\u003c"))
    page = framed_graphs.lecture().player().html
    (folder / "g.html").write_text(page.replace("</body>", f"<script>{driver}</script></body>"))
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=640,900", "--virtual-time-budget=60000"]
    done = subprocess.run(
        [*command, "--dump-dom", (folder / "g.html").as_uri()], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(Found(done.stdout).text)
    return found


def test_nothing_fails_and_nothing_is_blocked(run: dict[str, Any]) -> None:
    assert run["errors"] == []


def test_every_step_shows_its_sentence_and_its_numbers(run: dict[str, Any]) -> None:
    frames = framed_graphs.lecture().frames()
    assert [step["sentence"] for step in run["steps"]] == [frame.text for frame in frames]
    signs = [re.findall(r"∂\w+/∂\w+", frame.text) for frame in frames]
    assert [step["lines"] for step in run["steps"]] == [[1] * len(one) for one in signs]
    assert [step["count"] for step in run["steps"]] == [f"{place} / 13" for place in range(1, 14)]
    assert [step["slider"] for step in run["steps"]] == [str(place) for place in range(13)]
    assert [step["phase"] for step in run["steps"]] == [frame.phase for frame in frames]
    assert run["steps"][9]["spoken"] == f"10: {frames[9].text}"
    assert "∂d/∂x = 3.142 + …" in run["steps"][9]["texts"]
    assert "∂d/∂x = 6.142" in run["steps"][10]["texts"]
    assert not [text for text in run["steps"][0]["texts"] if "∂" in text]


def test_nothing_moves_while_it_plays(run: dict[str, Any]) -> None:
    assert len(run["places"]) == 1
    assert run["outside"] == 0


def test_keys_go_where_those_of_a_presentation_go(run: dict[str, Any]) -> None:
    keys = {name.partition(" ")[2]: [] for name in run if name[0].isdigit()}
    for name, count in run.items():
        if name[0].isdigit():
            keys[name.partition(" ")[2]].append(count)
    assert keys == {
        "ArrowRight": ["2 / 13", "13 / 13"],
        "PageDown": ["3 / 13"],
        "ArrowLeft": ["2 / 13", "1 / 13"],
        "End": ["13 / 13"],
        "Home": ["1 / 13"],
    }


def test_buttons_and_slider_go_where_they_say(run: dict[str, Any]) -> None:
    assert (run["slid"], run["first"], run["last"], run["back"]) == ("5 / 13", "1 / 13", "13 / 13", "12 / 13")


def test_it_plays_pauses_and_stops_at_the_end(run: dict[str, Any]) -> None:
    assert run["playing"]
    assert run["played"] == "2 / 13"
    assert run["stayed"]
    assert (run["ended"], run["stopped"]) == ("13 / 13", True)


def test_light_and_dark_change_the_ground(run: dict[str, Any]) -> None:
    assert (run["light"], run["dark"]) == ("rgb(255, 255, 255)", "rgb(22, 24, 29)")


def test_every_control_has_a_name_and_the_sentence_is_read_out(run: dict[str, Any]) -> None:
    assert run["unnamed"] == 0
    assert run["live"] == "polite"


def test_a_shadow_root_holds_a_player_of_its_own_and_shows_any_name_as_text(run: dict[str, Any]) -> None:
    assert run["shadow"]["count"].startswith("2 / ")
    assert any(text.startswith("</script>") for text in run["shadow"]["texts"])
    assert run["untouched"] == "13 / 13"
    assert run["destroyed"] == 0


def test_the_script_is_one_function() -> None:
    assert script().count("\nfunction mount(root, data) {") == 1
    assert script().rstrip().endswith("}")
