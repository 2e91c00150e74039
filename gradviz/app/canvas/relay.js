/* Hears of what is selected on the canvas and tells the server, so that only what stands around this is run again and the
   drawing, which may be large, is not sent once more. */

const listening = new WeakMap();

export default function ({parentElement, setTriggerValue}) {
  const root = parentElement.querySelector(".gradviz-relay");
  listening.get(root)?.abort();
  const ends = new AbortController();
  listening.set(root, ends);
  window.addEventListener("gradviz-select", (event) => setTriggerValue("event", {kind: "select", what: event.detail}),
    {signal: ends.signal});
  return () => ends.abort();
}
