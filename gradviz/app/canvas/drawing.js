/* Graphviz's SVG as text -> elements for the page, of which only what is on these lists is kept. */

const SHAPES = ["path", "polygon", "polyline", "ellipse"];
const ELEMENTS = new Set(["svg", "g", "text", "tspan", "image", ...SHAPES]);
const ATTRIBUTES = new Set([
  "id", "class", "d", "points", "fill", "stroke", "stroke-width", "stroke-dasharray", "fill-opacity", "x", "y", "cx", "cy",
  "rx", "ry", "width", "height", "viewBox", "transform", "font-family", "font-size", "font-weight", "text-anchor",
  "preserveAspectRatio", "xml:space", "xlink:href", "href",
]);
const EMBEDDED = /^data:image\/png;base64,[A-Za-z0-9+/=]*$/;

/* The drawing without anything that could run, load or link; null for what is no SVG. */
export function sanitized(text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  if (parsed.localName !== "svg") return null;
  for (const one of [parsed, ...parsed.querySelectorAll("*")]) {
    if (!ELEMENTS.has(one.localName)) { one.remove(); continue; }
    for (const {name, value} of [...one.attributes]) {
      const link = name.endsWith("href") && !value.startsWith("#") && !(one.localName === "image" && EMBEDDED.test(value));
      if (!ATTRIBUTES.has(name) || link || /url\s*\(/i.test(value)) one.removeAttribute(name);
    }
  }
  return document.importNode(parsed, true);
}

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
