/* Hears of what is selected on the canvas, tells the server, and shows what the canvas knows of it until the answer is here.
   Only what stands around this is run again then, and the drawing, which may be large, is not sent once more.

   Every text goes in as a text node. `data.selected` is what the panel of the server is about. */

const glances = new WeakMap();

export default function ({data, parentElement, setTriggerValue}) {
  const root = parentElement.querySelector(".gradviz-glance");
  if (!glances.has(root)) glances.set(root, glanceIn(root));
  const glance = glances.get(root);
  glance.update(data, (id) => setTriggerValue("event", {kind: "select", what: id}));
  return () => { glance.destroy(); glances.delete(root); };
}

function line(className, text) {
  const made = document.createElement("div");
  made.className = className;
  made.textContent = text;
  return made;
}

function glanceIn(root) {
  let asked = null, told = {}, tell = () => {};

  function show() {
    const answered = asked === null || asked.id === told.selected || told.nothing === null;
    if (answered) root.replaceChildren();
    else if (!asked.id) root.replaceChildren(line("remark", told.nothing));
    else root.replaceChildren(line("name", asked.title), line("remark", asked.remark), ...asked.lines.map((one) => line("", one)));
  }

  function selected(event) {
    asked = event.detail;
    show();
    tell(asked.id);
  }

  window.addEventListener("gradviz-select", selected);

  return {
    update(data, say) {
      tell = say;
      if (data.given !== told.given) asked = null;  // the server has selected something else
      told = data;
      show();
    },
    destroy: () => window.removeEventListener("gradviz-select", selected),
  };
}
