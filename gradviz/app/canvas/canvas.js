/* The canvas: shows one drawn graph, in which nodes and edges can be looked for, focused and selected.

   Streamlit calls the default export when the component appears and whenever `data` changes; `data` is what
   gradviz/app/canvas/__init__.py makes. Every text goes in as a text node or an attribute, the SVG as drawing.js lets it
   through, which comes before this in one script, as ways.js does. Nothing is loaded. */

const CLICK_PX = 4, LARGEST = 8, FITTED_AT_MOST = 1.5, STEP = 1.25, TWICE_MS = 400;
const READABLE = 0.85, NEARLY = 0.85, ACROSS = 0.7;  // of the size that letters were drawn with
const BAR_PX = 48;  // what lies below search and buttons is free at first
const NARROW_PX = 560;  // has room for two shapes beside each other and what is on the arrow between them

const canvases = new WeakMap();

export default function ({data, parentElement, setTriggerValue}) {
  const root = parentElement.querySelector(".gradviz-canvas");
  if (!canvases.has(root)) canvases.set(root, canvasIn(root));
  const canvas = canvases.get(root);
  canvas.update(data, (kind, what) => {
    if (kind === "select") window.dispatchEvent(new CustomEvent("gradviz-select", {detail: what}));  // see glance.js
    else setTriggerValue("event", {kind, what});
  });
  return () => { canvas.destroy(); canvases.delete(root); };
}

function canvasIn(root) {
  let items = new Map(), shapes = new Map(), uses = new Map(), svg = null, size = [1, 1], revision = "", given = 0;
  let selected = "", marked = new Map(), active = "", tell = () => {}, words = {}, lies = false, narrow = false;
  let scale = 1, left = 0, top = 0, untouched = true, whole = false;
  const pointers = new Map();
  let pressed = null, clicked = {id: "", at: 0}, toggled = null, matches = [], match = -1;

  /* ---- building ---- */

  const search = element("input", {type: "search", autocomplete: "off", spellcheck: "false"});
  const count = element("output", {});
  const buttons = Object.fromEntries([["smaller", "−"], ["larger", "+"], ["fit", "⤢"]].map(([name, sign]) =>
    [name, element("button", {type: "button"}, sign)]));
  const bar = element("div", {class: "bar", role: "toolbar"}, search, count, ...Object.values(buttons));
  const hint = element("div", {class: "hint", "aria-hidden": "true"});
  const area = element("div", {class: "area"}, hint);
  root.replaceChildren(bar, area);

  function draw(data) {
    svg?.remove();
    hint.classList.remove("shown");
    items = new Map(data.items.map((item) => [item.id, item]));
    uses = Map.groupBy(data.items.filter((item) => item.kind === "edge" && !item.cut), (edge) => edge.tail);
    shapes = new Map();
    marked = new Map();
    svg = sanitized(data.svg);
    if (svg === null) return;
    lies = Boolean(data.lies);
    size = (svg.getAttribute("viewBox") ?? "0 0 1 1").split(/[\s,]+/).slice(2).map(Number);
    for (const [key, value] of [["width", size[0]], ["height", size[1]], ["role", "group"], ["aria-label", data.label]])
      svg.setAttribute(key, value);
    for (const group of svg.querySelectorAll("g[id]")) {
      const item = items.get(group.id);
      if (item) shapes.set(item.id, prepared(group, item));
    }
    area.prepend(svg);
    area.style.background = data.ground;
    if (!shapes.has(active)) active = data.items[0]?.id ?? "";
    shapes.get(active)?.setAttribute("tabindex", "0");
  }

  function prepared(group, item) {
    group.classList.add("item", item.kind);
    for (const [key, value] of [["role", "button"], ["tabindex", "-1"], ["aria-label", item.label], ["aria-pressed", "false"]])
      group.setAttribute(key, value);
    if (item.unfold || item.fold) group.setAttribute("aria-expanded", String(Boolean(item.fold)));
    for (const child of group.children) {
      if (item.kind !== "edge" && child.localName === "text") break;
      if (SHAPES.includes(child.localName) && child.getAttribute("stroke") !== "none") child.classList.add("line");
    }
    const curve = item.kind === "edge" && group.querySelector("path");
    if (curve) {  // a thin line is hard to hit
      const wide = group.appendChild(curve.cloneNode());
      wide.setAttribute("class", "wide");
      wide.removeAttribute("id");
    }
    return group;
  }

  /* ---- places ---- */

  function place() {
    if (svg) svg.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
  }

  /* All of the drawing where that is asked for, else as much as can be read. */
  function fit() {
    const {width, height: area_px} = area.getBoundingClientRect(), height = area_px - BAR_PX;
    if (!width || !size[0]) return;
    scale = Math.min(width / size[0], height / size[1], FITTED_AT_MOST);
    untouched = true;
    const isPart = scale < NEARLY * READABLE && !whole;  // rather a part that can be read
    const across = width / size[0];  // all columns, if they can be read
    if (isPart) scale = across < ACROSS ? READABLE : Math.min(READABLE, across);
    left = isPart ? Math.min((width - size[0] * scale) / 2, width - size[0] * scale) : (width - size[0] * scale) / 2;
    top = BAR_PX + (isPart && size[1] * scale > height ? 0 : (height - size[1] * scale) / 2);
    place();
    const output = !whole && shapes.get([...items.values()].find((item) => item.output)?.id);
    if (!output || scale * size[0] <= width) return;
    if (lies) {  // it is read from its beginning
      left = 0;
      place();
      return;
    }
    const [first, last] = around(output, width), middle = area.getBoundingClientRect().left + width / 2;
    left += middle - (first + last) / 2;
    left = Math.max(width - size[0] * scale, Math.min(0, left));  // in the middle, with nothing empty beside the drawing
    place();
    bringIntoView(output.id);
  }

  /* The output and as many of the shapes below it as have room beside each other: from where to where they are. */
  function around(output, width) {
    const inner = output.getBoundingClientRect(), bottom = inner.top + area.clientHeight - BAR_PX, margin = 8;
    let [first, last] = [inner.left, inner.right];
    const others = [...items.values()].filter((item) => item.kind !== "edge" && item.kind !== "box" && shapes.has(item.id))
      .map((item) => shapes.get(item.id).getBoundingClientRect()).filter((box) => box.top < bottom)
      .sort((one, other) => one.top - other.top);
    for (const box of others) {
      const [low, high] = [Math.min(first, box.left), Math.max(last, box.right)];
      if (high - low + 2 * margin <= width) [first, last] = [low, high];
    }
    return [first, last];
  }

  /* The server draws for a narrow canvas what stands upright. */
  function measure() {
    const isNarrow = area.clientWidth < NARROW_PX;
    if (svg && area.clientWidth && isNarrow !== narrow) tell("narrow", narrow = isNarrow);
  }

  function fitWhole() {
    whole = true;
    fit();
  }

  function zoom(factor, x, y) {
    const {width, height} = area.getBoundingClientRect();
    const least = Math.min(width / size[0], height / size[1], 1) / 2;
    const wanted = Math.min(LARGEST, Math.max(least, scale * factor));
    const middle = [x ?? width / 2, y ?? height / 2];
    left = middle[0] - (middle[0] - left) * wanted / scale;
    top = middle[1] - (middle[1] - top) * wanted / scale;
    const changed = wanted !== scale;
    [scale, untouched] = [wanted, false];
    place();
    return changed;
  }

  function bringIntoView(id) {
    const shape = shapes.get(id);
    if (!shape) return;
    const inner = shape.getBoundingClientRect(), outer = area.getBoundingClientRect(), margin = 24;
    const by = (low, high, first, last) => (low < first + margin ? first + margin - low
      : high > last - margin ? Math.max(last - margin - high, first + margin - low) : 0);
    left += by(inner.left, inner.right, outer.left, outer.right);
    top += by(inner.top, inner.bottom, outer.top + BAR_PX - margin, outer.bottom);
    place();
  }

  /* ---- selection ---- */

  function select(id, {silent = false} = {}) {
    selected = items.has(id) ? id : "";
    const now = marksOf(selected, items, uses);
    for (const name of new Set([...marked.keys(), ...now.keys()])) {  // of many shapes, only those that change
      if (marked.get(name) === now.get(name)) continue;
      const shape = shapes.get(name), isSelected = now.get(name) === "selected";
      shape?.classList.toggle("way", now.has(name));
      shape?.classList.toggle("selected", isSelected);
      shape?.setAttribute("aria-pressed", String(isSelected));
    }
    marked = now;
    root.classList.toggle("chosen", selected !== "" && items.get(selected).kind !== "box");
    if (selected) activate(selected);
    if (!silent) tell("select", inWords(selected));
  }

  /* What is known of an item here. */
  function inWords(id) {
    const {name = "", title = name, remark = "", hover = [], facts = []} = items.get(id) ?? {};
    return {id, title, remark, lines: [...hover, ...facts].filter((line) => line !== name)};
  }

  /* Opens a group or closes an opened one; false for what is neither. */
  function toggle(id, {open = true, close = true} = {}) {
    const item = items.get(id), name = open && item?.unfold || close && item?.fold;
    if (!name) return false;
    const box = shapes.get(id).getBoundingClientRect();
    toggled = {name, was: item.unfold ? "unfold" : "fold", x: box.left + box.width / 2, y: box.top + box.height / 2};
    tell(item.unfold ? "unfold" : "fold", name);
    return true;
  }

  /* What became of a toggled group, where it was: its box, or the group again. */
  function settle() {
    const {name, was, x, y} = toggled, all = [...items.values()];
    if (all.some((item) => item[was] === name)) return;  // drawn anew for another reason: a check has ended
    const found = all.find((item) => item.fold === name || item.unfold === name);
    toggled = null;
    if (!found) return;
    if (!untouched) {
      const now = shapes.get(found.id).getBoundingClientRect();
      left += x - now.left - now.width / 2;
      top += y - now.top - now.height / 2;
      place();
    }
    activate(found.id);
    bringIntoView(found.id);
  }

  function activate(id) {
    shapes.get(active)?.setAttribute("tabindex", "-1");
    active = id;
    shapes.get(active)?.setAttribute("tabindex", "0");
  }

  function focus(id) {
    if (!shapes.has(id)) return;
    activate(id);
    bringIntoView(id);
    shapes.get(id).focus({preventScroll: true});
  }

  /* ---- keys ---- */

  function beside(step) {
    const isEdge = (id) => items.get(id)?.kind === "edge";
    const all = [...items.keys()].filter((id) => isEdge(id) === isEdge(active));
    return all[(all.indexOf(active) + step + all.length) % all.length];
  }

  function along(from, to) {
    const item = items.get(active);
    if (item?.kind === "edge") return item[to];
    return [...items.values()].find((edge) => edge.kind === "edge" && edge[from] === active)?.id;
  }

  const KEYS = {
    ArrowRight: () => focus(along("tail", "head")), ArrowLeft: () => focus(along("head", "tail")),
    ArrowDown: () => focus(beside(1)), ArrowUp: () => focus(beside(-1)),
    Home: () => focus([...items.keys()][0]),
    End: () => focus([...items.values()].filter((item) => item.kind !== "edge").at(-1)?.id),
    Enter: () => select(active === selected ? "" : active), " ": () => select(active === selected ? "" : active),
    Escape: () => select(""), 0: () => fitWhole(),
    "+": () => toggle(active, {close: false}) || zoom(STEP), "-": () => toggle(active, {open: false}) || zoom(1 / STEP), "/": () => search.focus(),
  };

  function press(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !(event.key in KEYS)) return;
    event.preventDefault();
    event.stopPropagation();  // Streamlit has keys of its own
    KEYS[event.key]();
  }

  /* ---- the search ---- */

  function look() {
    const wanted = search.value.trim().toLowerCase();
    matches = wanted ? [...items.values()].filter((item) => item.name.toLowerCase().includes(wanted)) : [];
    const exact = (item) => Number(item.name.toLowerCase() !== wanted);
    matches.sort((one, other) => exact(one) - exact(other));
    match = -1;
    const found = new Set(matches.map((item) => item.id));
    for (const [id, shape] of shapes) shape.classList.toggle("found", found.has(id));
    count.textContent = wanted ? String(matches.length) : "";
    if (matches.length) bringIntoView(matches[0].id);
  }

  function next(event) {
    if (event.key === "Escape") { search.value = ""; look(); }
    event.stopPropagation();
    if (event.key !== "Enter" || !matches.length) return;
    match = (match + 1) % matches.length;
    select(matches[match].id);
    bringIntoView(matches[match].id);
  }

  /* ---- the pointer ---- */

  const itemAt = (target) => target?.closest?.(".item")?.id ?? "";
  const within = (event) => {
    const box = area.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  function down(event) {
    if (event.button) return;
    pressed = {item: itemAt(event.target), x: event.clientX, y: event.clientY, moved: pointers.size > 0};
    pointers.set(event.pointerId, within(event));
    area.setPointerCapture(event.pointerId);
  }

  function move(event) {
    if (!pointers.has(event.pointerId)) { point(event); return; }
    const before = pointers.get(event.pointerId), now = within(event);
    if (pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) >= CLICK_PX) pressed.moved = true;
    if (!pressed?.moved) return;
    hint.classList.remove("shown");
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const far = (spot) => Math.hypot(spot[0] - other[0], spot[1] - other[1]) || 1;
      zoom(far(now) / far(before), other[0], other[1]);
    } else {
      left += now[0] - before[0];
      top += now[1] - before[1];
      untouched = false;
      place();
    }
    pointers.set(event.pointerId, now);
  }

  function up(event) {
    if (!pointers.delete(event.pointerId)) return;
    if (event.type === "pointerup" && pressed && !pressed.moved) {
      const twice = clicked.id === pressed.item && event.timeStamp - clicked.at < TWICE_MS;
      clicked = {id: twice ? "" : pressed.item, at: event.timeStamp};
      if (!twice || !toggle(pressed.item)) select(pressed.item);
      shapes.get(pressed.item)?.focus({preventScroll: true});
      if (event.pointerType === "touch") point(event, pressed.item);  // a finger does not hover; the inspector is further down
    }
    if (!pointers.size) pressed = null;
  }

  function point(event, id = itemAt(event.target)) {
    const item = items.get(id);
    hint.classList.toggle("shown", Boolean(item));
    if (!item) return;
    hint.replaceChildren(...item.hover.map((line) => element("div", {}, line)));
    const [x, y] = within(event), {width, height} = area.getBoundingClientRect();
    hint.style.left = `${Math.max(4, Math.min(x + 14, width - hint.offsetWidth - 4))}px`;
    hint.style.top = `${y + 18 + hint.offsetHeight > height ? Math.max(4, y - hint.offsetHeight - 10) : y + 18}px`;
  }

  function wheel(event) {
    const lines = event.deltaMode === 1 ? 16 : 1;
    if (zoom(Math.exp(-event.deltaY * lines * 0.0015), ...within(event))) event.preventDefault();
  }

  area.addEventListener("pointerdown", down);
  area.addEventListener("pointermove", move);
  area.addEventListener("pointerup", up);
  area.addEventListener("pointercancel", up);
  area.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") hint.classList.remove("shown"); });
  area.addEventListener("wheel", wheel, {passive: false});
  area.addEventListener("scroll", () => {  // a browser that brings something into view scrolls even what has no scroll bars
    left -= area.scrollLeft;
    top -= area.scrollTop;
    area.scrollTo(0, 0);
    place();
  });
  area.addEventListener("keydown", press);
  area.addEventListener("focusin", (event) => { if (itemAt(event.target)) activate(itemAt(event.target)); });
  search.addEventListener("input", look);
  search.addEventListener("keydown", next);
  buttons.fit.addEventListener("click", fitWhole);
  buttons.larger.addEventListener("click", () => zoom(STEP));
  buttons.smaller.addEventListener("click", () => zoom(1 / STEP));
  const resized = new ResizeObserver(() => { if (untouched) fit(); measure(); });
  resized.observe(area);

  function update(data, setSelection) {
    tell = setSelection;
    words = data.words;
    for (const [name, made] of Object.entries({...buttons, search, bar})) {
      made.setAttribute("aria-label", words[name]);
      if (name !== "bar") made.title = words[name];
    }
    search.placeholder = words.search;
    const focused = area.contains(root.getRootNode().activeElement);
    if (data.revision !== revision) {
      revision = data.revision;
      draw(data);
      if (untouched) fit(); else place();
      if (toggled) settle();
      select(selected, {silent: true});
      look();
    }
    if (data.given !== given) {
      given = data.given;
      select(data.selection, {silent: true});
      bringIntoView(selected);
    }
    narrow = Boolean(data.narrow);
    measure();
    if (focused) shapes.get(active)?.focus({preventScroll: true});
  }

  return {update, destroy: () => resized.disconnect()};
}
