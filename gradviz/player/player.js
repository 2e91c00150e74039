/* The player: shows frames that Python has painted.

   mount(root, data) fills an element or a shadow root and returns {show, play, pause, press, destroy}; a page that holds
   nothing else hands it every key by `press`. `data` is what gradviz/player/data.py makes. Every text goes in as a text
   node or an attribute, never as HTML. Nothing is loaded. */

function mount(root, data) {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const SIGN = /(‖?∂[^\s/]{1,16}\/∂\S{1,16})(?=\s|$)/;
  const SPEEDS = [0.5, 1, 2, 4];
  const LEAST_PX = 8;  // of letters on a narrow screen, where the drawing may be larger than there is room, and scrolls
  const ICONS = {
    first: "M7 5v14M18 5L9 12l9 7z", back: "M15 5l-7 7 7 7", play: "M8 5l11 7-11 7z", pause: "M8 5v14M16 5v14",
    next: "M9 5l7 7-7 7", last: "M17 5v14M6 5l9 7-9 7z", theme: "M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z",
    whole: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  };
  const OPEN = ["back", "next", "whole"];  // outlines only
  const words = data.words;
  const states = allStates();
  const narrow = window.matchMedia("(max-width: 40rem)");
  let current = 0, timer = null, speed = 1, chosen = null, shown = [];

  /* ---- building ---- */

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function drawn(name, attributes) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function icon(name) {
    const svg = drawn("svg", {viewBox: "0 0 24 24", "aria-hidden": "true"});
    svg.append(drawn("path", {d: ICONS[name], fill: OPEN.includes(name) ? "none" : "currentColor"}));
    return svg;
  }

  function button(name, act) {
    const made = element("button", {type: "button", "aria-label": words[name], title: words[name]}, icon(name));
    made.addEventListener("click", act);
    return made;
  }

  /* Frames hold only what changes; here each gets the state of every mark. */
  function allStates() {
    let last = [];
    return data.frames.map((frame) => {
      last = last.slice();
      for (const [mark, ...state] of frame.changes) last[mark] = state;
      return last;
    });
  }

  const colour = (index) => `var(--c${index})`;

  /* A sentence in which no line ends inside a short `∂f/∂x`. */
  function inWords(told) {
    return told.split(SIGN).map((part, place) => (place % 2 ? element("span", {class: "sign"}, part) : part));
  }

  /* One mark: its elements, made once, and how a state changes them. */
  function markOf(mark) {
    const group = drawn("g", {});
    if (mark.kind === "shape") {
      const paths = mark.paths.map((d) => drawn("path", {d}));
      group.append(...paths);
      return {group, set([fill, line, width, dashed]) {
        paths.forEach((path, place) => {
          path.style.fill = place ? "none" : colour(fill);
          path.style.stroke = colour(line);
          path.style.strokeWidth = width;
          path.style.strokeDasharray = dashed ? `${4 * width} ${2.5 * width}` : "none";
        });
      }};
    }
    if (mark.kind === "arrow") {
      const curve = drawn("path", {fill: "none"}), tip = drawn("path", {});
      group.append(curve, tip);
      return {group, set([way, line, width]) {
        curve.setAttribute("d", mark.ways[way][0]);
        tip.setAttribute("d", mark.ways[way][1]);
        curve.style.strokeDasharray = mark.dashed ? `${4 * width} ${2.5 * width}` : "none";
        tip.style.fill = curve.style.stroke = tip.style.stroke = colour(line);
        curve.style.strokeWidth = tip.style.strokeWidth = width;
      }};
    }
    const text = drawn("text", {
      y: mark.y, "font-size": mark.size, "text-anchor": mark.centred ? "middle" : "start",
      "font-weight": mark.bold ? "bold" : "normal",
    });
    if (mark.ground) {
      const [x, y, width, height] = mark.ground;
      const ground = drawn("rect", {x, y, width, height});
      ground.style.fill = "var(--background)";
      group.append(ground);
    }
    group.append(text);
    return {group, set([words, fill, x]) {
      text.textContent = words;
      text.setAttribute("x", x);
      text.style.fill = colour(fill);
      group.style.display = words ? "" : "none";
    }};
  }

  const marks = data.marks.map(markOf);
  const svg = drawn("svg", {viewBox: data.view.join(" "), role: "img", "aria-label": data.title});
  svg.append(...marks.map((mark) => mark.group));
  const stage = element("div", {class: "stage"}, svg);
  const sentence = element("p", {class: "sentence", "aria-live": "polite"});
  const longest = data.frames.reduce((found, frame) => (frame.sentence.length > found.length ? frame.sentence : found), "");
  const ghost = element("p", {class: "sentence ghost", "aria-hidden": "true"}, ...inWords(longest));
  const play = button("play", toggle);
  const slider = element("input", {
    type: "range", min: 0, max: data.frames.length - 1, step: 1, value: 0, "aria-label": words.step,
  });
  const count = element("output", {});
  const speeds = element("select", {"aria-label": words.speed, title: words.speed},
    ...SPEEDS.map((value) => element("option", {value}, `${value}×`)));
  const controls = element("div", {class: "controls", role: "group", "aria-label": words.controls},
    button("first", () => stop(0)), button("back", () => stop(current - 1)), play,
    button("next", () => stop(current + 1)), button("last", () => stop(data.frames.length - 1)), slider, count, speeds);
  if (data.themes.length > 1) controls.append(button("theme", changeTheme));
  if (document.fullscreenEnabled) controls.append(button("whole", wholeScreen));
  const title = element("h2", {}, data.title);
  const player = element("section", {class: "gradviz-player", lang: data.language, tabindex: 0, "aria-label": data.title},
    title, stage, element("div", {class: "said"}, sentence, ghost), controls);
  svg.style.maxWidth = `${data.view[2]}px`;
  const letters = Math.min(...data.marks.filter((mark) => mark.kind === "text").map((mark) => mark.size));
  const [least, high] = data.view.slice(2).map((side) => side * Math.min(1, LEAST_PX / letters));
  svg.style.setProperty("--least", `${least}px`);
  svg.style.setProperty("--high", `${high}px`);

  /* ---- showing ---- */

  function show(place) {
    const wanted = Math.max(0, Math.min(data.frames.length - 1, place));
    states[wanted].forEach((state, mark) => {
      if (state === shown[mark]) return;
      marks[mark].group.style.display = state.length ? "" : "none";  // it may be on the picture of another part
      if (state.length) marks[mark].set(state);
    });
    if (narrow.matches && shown.length) follow(shown, states[wanted]);
    shown = states[wanted];
    current = wanted;
    const frame = data.frames[wanted];
    sentence.replaceChildren(...inWords(frame.sentence));
    title.textContent = frame.title;
    slider.value = wanted;
    slider.setAttribute("aria-valuetext", `${wanted + 1}: ${frame.sentence}`);
    count.textContent = `${wanted + 1} / ${data.frames.length}`;
    player.dataset.phase = frame.phase;
  }

  /* Where only a part of the drawing has room: brings what is newly told or outlined into sight, or else all that changes. */
  function follow(before, now) {
    const changed = now.map((_, mark) => mark).filter((mark) => now[mark] !== before[mark]);
    const some = (kind, isNew) => changed.filter((mark) => data.marks[mark].kind === kind && isNew(now[mark], before[mark]));
    const told = some("text", ([words], [last]) => words !== last);
    const outlined = some("shape", ([, , width], [, , last]) => width > last);
    const boxes = (list) => list.map((mark) => marks[mark].group.getBoundingClientRect()).filter((box) => box.width);
    const seen = [told, outlined, changed].map(boxes).find((found) => found.length), outer = stage.getBoundingClientRect();
    if (!seen) return;
    const ends = (low, high) => [Math.min(...seen.map((box) => box[low])), Math.max(...seen.map((box) => box[high]))];
    const by = ([first, last], [low, high]) => (first >= low && last <= high ? 0 : (first + last - low - high) / 2);
    stage.scrollBy(by(ends("left", "right"), [outer.left, outer.right]), by(ends("top", "bottom"), [outer.top, outer.bottom]));
  }

  function pause() {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    setPlay("play");
  }

  function start() {
    pause();
    if (current === data.frames.length - 1) show(0);
    setPlay("pause");
    wait();
  }

  /* A longer sentence takes longer to read. */
  function wait() {
    timer = setTimeout(() => {
      show(current + 1);
      if (current === data.frames.length - 1) pause(); else wait();
    }, (900 + 35 * data.frames[current].sentence.length) / speed);
  }

  function setPlay(name) {
    play.setAttribute("aria-label", words[name]);
    play.title = words[name];
    play.replaceChildren(icon(name));
  }

  function toggle() { if (timer === null) start(); else pause(); }

  function stop(place) { pause(); show(place); }

  /* ---- themes: colours are variables, and a theme gives them values ---- */

  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function paint() {
    const names = data.themes.map((theme) => theme.name);
    const name = chosen ?? (dark.matches && names.includes("dark") ? "dark" : names[0]);
    const theme = data.themes[names.indexOf(name)];
    theme.colours.forEach((value, index) => player.style.setProperty(`--c${index}`, value));
    for (const role of ["background", "text", "faint", "highlight"]) player.style.setProperty(`--${role}`, theme[role]);
    player.style.colorScheme = name === "dark" ? "dark" : "light";
    player.dataset.theme = name;
  }

  function changeTheme() {
    const names = data.themes.map((theme) => theme.name);
    chosen = names[(names.indexOf(player.dataset.theme) + 1) % names.length];
    paint();
  }

  function wholeScreen() {
    if (document.fullscreenElement) document.exitFullscreen(); else player.requestFullscreen();
  }

  /* ---- keys: those of a presentation ---- */

  const KEYS = {
    ArrowLeft: () => stop(current - 1), ArrowRight: () => stop(current + 1),
    ArrowUp: () => stop(current - 1), ArrowDown: () => stop(current + 1),
    PageUp: () => stop(current - 1), PageDown: () => stop(current + 1),
    Home: () => stop(0), End: () => stop(data.frames.length - 1), " ": toggle,
  };

  function press(event) {
    const on = event.composedPath()[0];
    const native = on === slider || on === speeds || (event.key === " " && on.tagName === "BUTTON");
    if (native || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || !(event.key in KEYS)) return;
    event.preventDefault();
    KEYS[event.key]();
  }

  const STYLE = `
.gradviz-player { box-sizing: border-box; margin: 0 auto; padding: 0.75rem 1rem; outline-offset: -3px;
  font: 1rem/1.35 "DejaVu Sans", Verdana, Arial, Helvetica, sans-serif; color: var(--text); background: var(--background);
  display: flex; flex-direction: column; align-items: center; justify-content: center; gap: 0.6rem; }
.gradviz-player h2 { margin: 0; font-size: 1.3em; text-align: center; overflow-wrap: anywhere; }
.gradviz-player .stage { width: 100%; flex: 0 1 auto; min-height: 0; }
.gradviz-player .stage > svg { display: block; width: 100%; margin: 0 auto; max-height: 68vh; }
.gradviz-player svg text { white-space: pre; }
.gradviz-player .stage > svg path { transition: fill 0.25s, stroke 0.25s, stroke-width 0.25s; }
.gradviz-player .said { display: grid; }
.gradviz-player .sentence { grid-area: 1 / 1; margin: 0; font-size: 1.15em; text-align: center; text-wrap: balance;
  overflow-wrap: anywhere; }
.gradviz-player .sign { white-space: nowrap; }
.gradviz-player .ghost { visibility: hidden; }
.gradviz-player .controls { display: flex; flex-wrap: wrap; align-items: center; justify-content: center; gap: 0.35rem;
  width: 100%; max-width: 60rem; position: sticky; bottom: 0; padding: 0.3rem 0; background: var(--background); }
.gradviz-player button, .gradviz-player select { font: inherit; color: inherit; background: transparent; cursor: pointer;
  border: 1px solid var(--faint); border-radius: 0.4rem; min-width: 2.5rem; height: 2.5rem; padding: 0.2rem; }
.gradviz-player option { color: #000; background: #fff; }
.gradviz-player button svg { width: 1.4rem; height: 1.4rem; display: block; margin: auto; stroke: currentColor;
  stroke-width: 2; stroke-linejoin: round; }
.gradviz-player input { flex: 1 1 10rem; min-width: 6rem; height: 2.5rem; margin: 0; accent-color: var(--highlight); }
.gradviz-player output { min-width: 4.5em; text-align: center; font-variant-numeric: tabular-nums; }
.gradviz-player :focus-visible, .gradviz-player:focus-visible { outline: 3px solid var(--highlight); }
.gradviz-player:fullscreen { padding: 2vh 2vw; justify-content: center; font-size: 1.5rem; }
.gradviz-player:fullscreen > .stage { flex: 1 1 auto; }
.gradviz-player:fullscreen > .stage > svg { max-width: none !important; max-height: none; height: 100%; }
@media (max-width: 40rem) {
  .gradviz-player { padding: 0.5rem; }
  .gradviz-player h2, .gradviz-player .sentence { font-size: 1.05em; }
  .gradviz-player .stage { max-height: 60vh; overflow: auto; }
  .gradviz-player .stage > svg { min-width: var(--least); max-height: max(60vh, var(--high)); }
  .gradviz-player .controls > :is(input, output, select) { order: 1; }
}
@media (prefers-reduced-motion: reduce) { .gradviz-player .stage > svg path { transition: none; } }`;

  slider.addEventListener("input", () => stop(Number(slider.value)));
  speeds.value = "1";
  speeds.addEventListener("change", () => {
    speed = Number(speeds.value);
    if (timer !== null) { clearTimeout(timer); wait(); }
  });
  player.addEventListener("keydown", press);
  dark.addEventListener("change", paint);
  paint();
  show(0);
  root.replaceChildren(element("style", {}, STYLE), player);

  return {
    show: stop, play: start, pause, press,
    destroy() { pause(); dark.removeEventListener("change", paint); root.replaceChildren(); },
  };
}
