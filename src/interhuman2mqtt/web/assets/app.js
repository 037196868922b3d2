// Begin here: the session, the store of what is known, the stream of changes, and one view at a time.
import { follow, get, post, renew, session } from "./api.js";
import { CameraView } from "./camera.js";
import { announce, h, patterns, tips } from "./dom.js";
import { FleetView } from "./fleet.js";
import { FortnightView } from "./fortnight.js";
import { load, say } from "./text.js";

const main = document.getElementById("main");
const broker = document.getElementById("broker");
const dialog = document.getElementById("login-dialog");
const store = { cameras: new Map(), summary: null };
const key = (camera) => `${camera.box}/${camera.name}`;
let view = null;
let source = null;

function route() {
  const [path, query] = (location.hash || "#/").slice(2).split("?");
  const [place, box, name] = path.split("/").map(decodeURIComponent);
  const values = new URLSearchParams(query ?? "");
  view?.leave();
  view = place === "camera" && name ? new CameraView(store, box, name, values) : place === "fortnight" ? new FortnightView(store, values) : new FleetView(store);
  for (const link of document.querySelectorAll("nav a")) link.getAttribute("href").slice(2) === (place === "fortnight" ? "fortnight" : "") ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  if (session.may_see) view.show(main);
  else { main.replaceChildren(h("h1", null, say("login_first"))); openLogin(); }
}

function showBroker({ state, detail }) {
  broker.textContent = say(state) + (detail ? `: ${detail}` : "");
  broker.classList.toggle("lost", state !== "connected");
}

async function loadFleet() {
  const fleet = await get("/api/fleet");
  store.cameras = new Map(fleet.cameras.map((camera) => [key(camera), camera]));
  store.summary = fleet.summary;
  showBroker(fleet.broker);
  return fleet.number;
}

async function start() {
  source?.close();
  if (!session.may_see) { route(); return; }
  const number = await loadFleet();
  route();
  let wasLost = false;
  source = follow(number, {
    camera(camera) { camera.state === null ? store.cameras.delete(key(camera)) : store.cameras.set(key(camera), camera); if (view instanceof FleetView || (view instanceof CameraView && key(camera) === `${view.box}/${view.name}`)) view.change(camera); },
    summary(summary) { store.summary = summary; view?.summarize(); },
    broker: showBroker,
    async reset() { await loadFleet(); route(); },
    lost() { wasLost = true; showBroker({ state: "lost" }); },
    async found() { if (wasLost) { wasLost = false; showBroker((await get("/api/fleet")).broker); } },
  });
}

function openLogin() { document.getElementById("login-error").textContent = ""; if (!dialog.open) dialog.showModal(); }

function buttons() {
  document.getElementById("login").hidden = !session.password_set || session.authenticated;
  document.getElementById("logout").hidden = !session.authenticated;
}

document.getElementById("login").addEventListener("click", openLogin);
document.getElementById("login-cancel").addEventListener("click", () => dialog.close());
document.getElementById("logout").addEventListener("click", async () => { await post("/api/logout"); location.reload(); });
document.getElementById("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = document.getElementById("password");
  try {
    await post("/api/login", { password: input.value });
    dialog.close();
    await renew();
    buttons();
    await start();
  } catch (error) { document.getElementById("login-error").textContent = error.message; }
  input.value = "";
});

document.body.append(patterns());
tips();
await load();
try {
  await renew();
  buttons();
  await start();
  addEventListener("hashchange", route);
} catch (error) { announce(say("failed", { why: error.message })); }
