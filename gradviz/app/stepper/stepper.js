
/* What comes before is the player's own script. Streamlit calls this when the component appears and when `data` changes. */

const players = new WeakMap();

export default function ({data, parentElement}) {
  const root = parentElement.querySelector(".gradviz-stepper");
  const revision = JSON.stringify(data);
  if (players.get(root)?.revision !== revision) {
    players.get(root)?.player.destroy();
    players.set(root, {revision, player: mount(root, data)});
  }
  return () => { players.get(root)?.player.destroy(); players.delete(root); };
}
