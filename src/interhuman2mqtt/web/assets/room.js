// The page on a room's wall: on or off, a pause for anyone, a resume for who logs in.
import { post, renew, session } from "./api.js";
import { announce, h } from "./dom.js";
import { ask } from "./invited.js";
import { clock, load, number, say } from "./text.js";

const LOOK_MS = 2000;
const node = (id) => document.getElementById(id);
let room = null;

function show(now) {
  room = now;
  node("camera").textContent = `${now.camera} · ${now.box}`;
  node("is").dataset.is = now.is;
  const words = now.audio_only ? "microphone" : "room";
  node("is").textContent = say(`${words}_${now.is}`);
  node("pause").textContent = say(`${words}_pause`);
  const since = now.since === null ? "" : say("room_since", { time: clock(now.since) });
  node("why").textContent = [now.reason && say(now.reason), since].filter(Boolean).join(" · ");
  node("pause").hidden = now.paused;
  node("resume").hidden = !now.paused || !session.authenticated;
  node("login-form").hidden = !now.paused || session.authenticated;
  node("details").hidden = !now.details;
  if (now.details) node("details").replaceChildren(h("p", null, [now.details.engagement && say(now.details.engagement), ...now.details.signals.map((kind) => say(kind)), now.details.score !== null && `${say("quality")} ${number(now.details.score)}`].filter(Boolean).join(" · ") || say("no_signal")));
}

/** Look again and again; a link that does not hold any more is not tried again. */
async function follow() {
  let wait = LOOK_MS;
  try { show(await ask("/api/room")); } catch (error) {
    node("is").dataset.is = "unknown";
    node("is").textContent = error.status === 404 ? say("link_over") : say("room_unknown");
    node("why").textContent = error.message;
    for (const id of ["pause", "resume", "login-form", "details"]) node(id).hidden = true;
    if (error.status === 404) return;
    wait = error.status === 429 ? 10 * LOOK_MS : LOOK_MS;
  }
  setTimeout(follow, wait);
}

async function act(button, asking) {
  button.disabled = true;
  try {
    const answer = await asking();
    announce(answer.status === "ok" ? say("asked", { box: room.box, answer: say("ok") }) : say("not_done", { why: answer.error }));
    show(await ask("/api/room"));
  } catch (error) { announce(say("not_done", { why: error.message })); }
  button.disabled = false;
}

node("pause").addEventListener("click", () => act(node("pause"), () => ask("/api/room/pause", { method: "POST", body: "{}" })));
node("resume").addEventListener("click", () => act(node("resume"), () => post("/api/resume", { box: room.box, camera: room.camera })));
node("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await post("/api/login", { password: node("password").value });
    await renew();
    node("login-error").textContent = "";
    show(room);
  } catch (error) { node("login-error").textContent = error.message; }
  node("password").value = "";
});

await load();
await renew();
follow();
