/* The paths along which a gradient arrives, among the items of a canvas. */

/* Everything between an item and the outputs: the paths along which its gradient arrives. */
export function marksOf(id, items, uses) {
  if (!id) return new Map();
  const start = items.get(id).kind === "edge" ? items.get(id).head : id;
  const found = new Map([[start, "way"]]), waiting = [start];
  while (waiting.length) {
    for (const edge of uses.get(waiting.pop()) ?? []) {
      found.set(edge.id, "way");
      if (!found.has(edge.head)) { found.set(edge.head, "way"); waiting.push(edge.head); }
    }
  }
  return found.set(id, "selected");
}
