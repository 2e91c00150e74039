/* Rows of text, one of them in the tab order: arrows move, left and right close and open, Enter chooses.

   Every text goes in as a text node. `data` is what gradviz/app/rows/__init__.py makes. */

const lists = new WeakMap();

export default function ({data, parentElement, setTriggerValue}) {
  const root = parentElement.querySelector(".gradviz-rows");
  if (!lists.has(root)) lists.set(root, listIn(root));
  lists.get(root)(data, (kind, id) => setTriggerValue("event", {kind, id}));
  return () => lists.delete(root);
}

function made(name, className, text) {
  const one = document.createElement(name);
  one.className = className;
  one.textContent = text;
  return one;
}

function listIn(root) {
  let tell = () => {}, shown = [], active = "", revision = "";

  const elements = () => [...root.children];
  const activate = (id) => {
    active = id;
    elements().forEach((one, place) => one.setAttribute("tabindex", shown[place].id === id ? "0" : "-1"));
  };
  const focus = (place) => {
    const row = shown[Math.max(0, Math.min(place, shown.length - 1))];
    activate(row.id);
    elements()[shown.indexOf(row)].focus();
  };

  function drawn(row, isTree, isSelected) {
    const one = made("div", `row ${row.kind}`, "");
    const words = made("div", "words", "");
    words.append(made("div", "text", [row.mark, row.text].filter(Boolean).join(" ")), made("div", "remark", row.remark));
    if (isTree) one.append(made("span", "arrow", row.expanded === null ? "" : row.expanded ? "▾" : "▸"));
    one.append(words);
    one.setAttribute("role", isTree ? "treeitem" : "option");
    one.setAttribute("aria-selected", String(isSelected));
    if (isTree) one.setAttribute("aria-level", String(row.depth + 1));
    if (row.expanded !== null) one.setAttribute("aria-expanded", String(row.expanded));
    one.style.marginInlineStart = `${row.depth * 0.9}rem`;
    one.addEventListener("click", (event) => {
      activate(row.id);
      tell(event.target.className === "arrow" && row.expanded !== null ? "toggle" : "choose", row.id);
    });
    return one;
  }

  function press(event) {
    const place = shown.findIndex((row) => row.id === active), row = shown[place];
    const wanted = {ArrowRight: false, "+": false, ArrowLeft: true, "-": true}[event.key];
    if (event.key === "ArrowDown") focus(place + 1);
    else if (event.key === "ArrowUp") focus(place - 1);
    else if (event.key === "Home") focus(0);
    else if (event.key === "End") focus(shown.length - 1);
    else if (event.key === "Enter" || event.key === " ") tell("choose", row.id);
    else if (wanted !== undefined) { if (row.expanded === wanted) tell("toggle", row.id); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  root.addEventListener("keydown", press);
  root.addEventListener("focusin", (event) => {
    const row = shown[elements().indexOf(event.target)];
    if (row) activate(row.id);
  });

  return (data, say) => {
    tell = say;
    if (JSON.stringify(data) === revision) return;
    revision = JSON.stringify(data);
    const focused = root.contains(root.getRootNode().activeElement);
    const isTree = data.rows.some((row) => row.expanded !== null || row.depth);
    shown = data.rows;
    root.setAttribute("role", isTree ? "tree" : "listbox");
    root.setAttribute("aria-label", data.label);
    root.replaceChildren(...shown.map((row) => drawn(row, isTree, row.id === data.selected)));
    const kept = shown.some((row) => row.id === active) ? active : data.selected || shown[0]?.id;
    activate(kept ?? "");
    if (focused) focus(shown.findIndex((row) => row.id === active));
  };
}
