"""`python -m benchmarks.app`: how long a visitor of the explorer waits, in headless Chromium against the real server.

    keystroke   from a key in the expression to the new picture
    click       from releasing the mouse on a node to its name, function, value, cotangent and line in the inspector, at 200
                and 2,000 nodes; and until the server has added plots, typeset formulas and the numbers of the check
    step        from one step of the player to the next frame of the browser, at 200 nodes

Beside each stands the same of an empty Streamlit page, a text box that echoes what is typed, measured in the same run: the
ratio says what is ours. It ends with 1 where a target is missed. What a busy machine adds shows in the empty page too.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.timing import median_ms

ROUNDS = 15
START_S = 60
TARGETS_MS = {"keystroke": 300.0, "click at 200 nodes": 120.0, "click at 2,000 nodes": 250.0, "step at 200 nodes": 1000 / 60}
EMPTY = "import streamlit as st\nst.code(st.text_input('Text', live='50ms'))\n"
CHAINS = """
import torch

def chain(length):
    x = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    for _ in range(length // 2):
        x = torch.sin(x) * 1.01
    return x

def small():
    return chain(198)

def large():
    return chain(2_000)
"""
LECTURE = "tanh(ln(1 + z*2x/sin y))"
AT = {"x": "1", "y": "2", "z": "3"}
WHEN = """([event, ...signs]) => new Promise((found) => {
  const elapsed = signs.map(() => null);
  const started = (at) => {
    const look = () => {
      signs.forEach((sign, place) => { if (elapsed[place] === null && sign()) elapsed[place] = performance.now() - at; });
      if (elapsed.includes(null)) requestAnimationFrame(look); else found(elapsed);
    };
    requestAnimationFrame(look);
  };
  window.addEventListener(event, () => started(performance.now()), {capture: true, once: true});
})"""


@contextmanager
def server(command: list[str]) -> Iterator[str]:
    """The address of a running Streamlit."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [part.replace("PORT", str(port)) for part in command]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-m", *arguments], env=os.environ | {"OMP_NUM_THREADS": "1"}, **quiet) as process:
        try:
            address, last = f"http://127.0.0.1:{port}", time.monotonic() + START_S
            while not _answers(address):
                if process.poll() is not None or time.monotonic() > last:
                    raise SystemExit(f"{' '.join(arguments)} did not start")
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
            return True
    except OSError:
        return False


def after(page: Page, event: str, act: Callable[[], None], *signs: str) -> list[float]:
    """Milliseconds in the browser from an event of its window until each sign, a JavaScript condition, holds."""
    page.evaluate("(source) => { window.elapsed = null; window.wait = eval(source); }", WHEN)
    conditions = ", ".join(f"() => {sign}" for sign in signs)
    page.evaluate(f"(event) => {{ window.wait([event, {conditions}]).then((ms) => {{ window.elapsed = ms; }}); }}", event)
    act()
    found: list[float] = page.wait_for_function("window.elapsed", timeout=60_000).json_value()
    return found


def ready(tab: Page, address: str, **link: object) -> None:
    tab.goto(f"{address}/?{urllib.parse.urlencode(link, doseq=True)}")
    tab.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=120_000, state="attached")


def echo(page: Page, address: str) -> list[float]:
    """From a key to its echo on the empty page."""
    ready(page, address)
    box = page.get_by_role("textbox", name="Text")
    box.fill("a")
    box.focus()
    text, times = "a", []
    for place in range(ROUNDS + 1):
        key = "bcdefghijklmnopqrstuvwxyz"[place]
        text += key
        sign = f"document.querySelector('[data-testid=stCode]')?.innerText.trim() === {text!r}"
        times += after(page, "keydown", lambda key=key: page.keyboard.press(key), sign)
    return times[1:]


def keystroke(page: Page, address: str) -> list[float]:
    """From a key in the expression to the picture of what it says now."""
    ready(page, address, expression=LECTURE, at=[f"{name}={value}" for name, value in AT.items()])
    page.wait_for_selector(".gradviz-canvas .item")
    box = page.get_by_role("textbox", name="Expression")
    times = []
    for place in range(ROUNDS + 1):
        box.fill(f"{LECTURE} + {100 + place}")
        page.wait_for_function(SHOWS.format(f"+ {100 + place}"), timeout=60_000)
        page.wait_for_timeout(1_000)
        sign = SHOWS.format(f"+ {100 + place}7")
        box.press("End")
        times += after(page, "keydown", lambda: page.keyboard.press("7"), sign)
    return times[1:]


ROOT = "[...document.querySelectorAll('*')].map((one) => one.shadowRoot?.querySelector('.gradviz-canvas')).find(Boolean)"
SHOWS = f"[...{ROOT}.querySelectorAll('.item.node text')].some((label) => label.textContent.endsWith('{{}}'))"


PANEL = "[...document.querySelectorAll('[data-testid=stColumn]')].at(-1).innerText"


def click(page: Page, address: str, target: str) -> tuple[list[float], list[float]]:
    """From releasing the mouse on a node to what the inspector says of it at once, and to all of it."""
    ready(page, address, page="model", model=target, detail="ops")
    page.wait_for_selector(".gradviz-canvas .item", timeout=240_000)
    page.wait_for_selector("[data-testid=stProgress]", state="detached", timeout=240_000)
    page.wait_for_timeout(2_000)
    count, spots = page.evaluate(VISIBLE)
    times = []
    for place in range(ROUNDS + 1):
        label, x, y = spots[place % len(spots)]
        name = label.partition(" ")[2].partition(" = ")[0].partition(";")[0]
        words = ["function ", "value", "cotangent", "chains.py:"]
        at_once = f"(({PANEL}).split('\\n').includes({name!r}) && {words}.every((word) => ({PANEL}).includes(word)))"
        whole = f"({at_once} && ({PANEL}).includes('device'))"
        times.append(after(page, "pointerup", lambda x=x, y=y: page.mouse.click(x, y), at_once, whole))
        page.wait_for_timeout(700)
    print(f"    {count:,} nodes on the canvas")
    return [first for first, _ in times[1:]], [last for _, last in times[1:]]


VISIBLE = f"""() => {{
  const root = {ROOT}, area = root.querySelector(".area").getBoundingClientRect();
  const all = [...root.querySelectorAll(".item.node")];
  const spots = all.map((one) => {{
    const box = one.getBoundingClientRect();
    return [one.getAttribute("aria-label"), box.left + box.width / 2, box.top + box.height / 2];
  }});
  const isSeen = ([, x, y]) => x > area.left && x < area.right && y > area.top + 60 && y < area.bottom - 10;
  return [all.length, spots.filter(isSeen)];
}}"""
STEPS = """async () => {
  const all = [...document.querySelectorAll('*')];
  const player = all.map((one) => one.shadowRoot?.querySelector('.gradviz-player')).find(Boolean);
  const next = player.querySelector('[aria-label^="Next"]'), times = [];
  const frame = () => new Promise(requestAnimationFrame);
  await frame();
  for (let place = 0; place < 120; place++) {
    const started = performance.now();
    next.click();
    player.getBoundingClientRect();
    times.push(performance.now() - started);
    await frame();
  }
  const started = performance.now();
  for (let place = 0; place < 120; place++) { next.click(); await frame(); }
  return [times, (performance.now() - started) / 120];
}"""


def stepping(page: Page, address: str, target: str) -> tuple[list[float], float]:
    """The time that a step takes, and the time between two frames while each shows another step."""
    ready(page, address, page="model", model=target, panel="steps")
    page.wait_for_selector(".gradviz-player", timeout=240_000)
    page.wait_for_selector("[data-testid=stProgress]", state="detached", timeout=240_000)
    page.wait_for_timeout(2_000)
    times, between = page.evaluate(STEPS)
    return times, between


def parts() -> dict[str, float]:
    """What the server does between a keystroke and its picture, in milliseconds."""
    import gradviz
    from gradviz.app.canvas import canvas_data
    from gradviz.expression import typed_value
    from gradviz.render import svg_text

    at = {name: typed_value(value) for name, value in AT.items()}
    graph = gradviz.trace(LECTURE, at=at, device="cpu")
    report = graph.check()
    view = graph.view(report=report)
    svg = svg_text(view)
    return {
        "trace": median_ms(lambda: gradviz.trace(LECTURE, at=at, device="cpu"), ROUNDS),
        "check": median_ms(graph.check, ROUNDS),
        "view": median_ms(lambda: graph.view(report=report), ROUNDS),
        "draw": median_ms(lambda: svg_text(view), ROUNDS),
        "canvas": median_ms(lambda: canvas_data(view, svg, graph, report), ROUNDS),
    }


def told(name: str, times: list[float], plain_ms: float) -> bool:
    """Prints one line; whether the target is met."""
    median, worst = statistics.median(times), max(times)
    target = TARGETS_MS[name]
    verdict = "ok" if median <= target else "MISSED"
    ratio = f", {median / plain_ms:.1f} x the empty page" if plain_ms else ""
    print(f"{name:<22} {median:6.0f} ms (worst {worst:.0f}){ratio}; target {target:.0f} ms: {verdict}", flush=True)
    return median <= target


def main() -> int:
    found = parts()
    print("server, per picture:", ", ".join(f"{name} {elapsed_ms:.1f} ms" for name, elapsed_ms in found.items()), flush=True)
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        (Path(folder) / "empty.py").write_text(EMPTY)
        (Path(folder) / "chains.py").write_text(CHAINS)
        chains = f"{folder}/chains.py"
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        flags = ["--server.port=PORT", "--server.headless=true", "--browser.gatherUsageStats=false"]
        with server(["streamlit", "run", f"{folder}/empty.py", *flags]) as address:
            times = echo(page, address)
            plain_ms = statistics.median(times)
            print(f"{'empty page, key':<22} {plain_ms:6.0f} ms (worst {max(times):.0f}), 50 ms of them waiting", flush=True)
        good = True
        with server(["gradviz", "app", "--port", "PORT", "--headless"]) as address:
            good &= told("keystroke", keystroke(page, address), plain_ms)
        for function, name in (("small", "click at 200 nodes"), ("large", "click at 2,000 nodes")):
            with server(["gradviz", "app", f"{chains}:{function}", "--port", "PORT", "--headless"]) as address:
                at_once, whole = click(page, address, f"{chains}:{function}")
                good &= told(name, at_once, 0.0)
                all_ms = statistics.median(whole)
                print(f"    with plots and formulas: {all_ms:.0f} ms, {all_ms / plain_ms:.1f} x the empty page", flush=True)
                if function == "small":
                    times, between_ms = stepping(page, address, f"{chains}:{function}")
                    good &= told("step at 200 nodes", times, 0.0)
                    print(f"    one step in each frame: {1000 / between_ms:.0f} frames per second", flush=True)
        browser.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
