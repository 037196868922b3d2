// The fleet at a glance: sums, then who needs somebody, then a tile for each camera.
import { h, kindClass, s } from "./dom.js";
import { inWords, ribbon } from "./ribbon.js";
import { number, percent, say, span } from "./text.js";

const PLANNED = new Set(["paused", "stopped"]);
const address = (camera) => `#/camera/${encodeURIComponent(camera.box)}/${encodeURIComponent(camera.name)}`;
const key = (camera) => `${camera.box}/${camera.name}`;
const collator = new Intl.Collator(undefined, { numeric: true });

export function matches(camera, filter) {
  const text = [camera.box, camera.name, camera.state, camera.reason, camera.engagement, ...camera.signals].join(" ").toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function tile(camera, now) {
  const note = camera.needs_somebody
    ? `${(camera.reason ?? camera.state).replaceAll("_", " ")}${camera.since ? `, ${span(now - camera.since)}` : ""}`
    : camera.state === "streaming" ? camera.signals.map((kind) => say(kind)).join(", ") : say(camera.reason?.replaceAll("_", " ") ?? camera.state);
  const label = `${camera.name} ${camera.box}: ${camera.engagement ? say(camera.engagement) : say(camera.state)}`;
  return h("li", { class: camera.needs_somebody ? "tile needs" : "tile", "data-key": key(camera) },
    h("a", { href: address(camera), "aria-label": `${label}. ${inWords(camera.ribbon, percent)}. ${note}`, title: camera.detail ?? "" },
      h("span", { class: "head" }, h("b", null, camera.name), h("span", { class: "box" }, camera.box),
        camera.score === null ? null : h("span", { class: "score" }, number(camera.score))),
      ribbon(camera.ribbon, label),
      h("span", { class: camera.needs_somebody ? "why" : camera.state === "streaming" ? "note" : "note plain" }, camera.needs_somebody && camera.detail ? `${note}: ${camera.detail}` : note)));
}

function sums(summary) {
  const item = (value, text, trouble) => h("li", { class: trouble ? "trouble" : null }, h("b", null, value), ` ${text}`);
  return [
    h("ul", { class: "sums" },
      item(number(summary.see), say("see", { cameras: number(summary.cameras) })),
      item(number(summary.need_somebody), say("need_somebody"), summary.need_somebody > 0),
      item(number(summary.paused), say("paused")),
      summary.analysed_now ? item(percent(summary.engaged / summary.analysed_now), say("engaged_now", { analysed: number(summary.analysed_now) })) : null,
      item(number(summary.signals), say("signals_now")),
      summary.not_analysed_share === null ? null : item(percent(summary.not_analysed_share), say("not_analysed")),
      summary.behind === null ? null : item(span(summary.behind), say("behind"))),
  ];
}

export function legend(kinds = ["engaged", "neutral", "disengaged", "no_level", "gap", "filled", "not_known"]) {
  return h("ul", { class: "legend" }, kinds.map((kind) => h("li", null, s("svg", { viewBox: "0 0 14 11", "aria-hidden": "true" }, s("rect", { class: kindClass(kind), width: 14, height: 11, rx: 2 })), say(kind))));
}

export class FleetView {
  constructor(store) {
    this.store = store;
    this.filter = "";
    this.tiles = new Map();
  }

  show(main) {
    const input = h("input", { type: "search", "aria-label": say("filter"), placeholder: say("filter"), value: this.filter, oninput: () => { this.filter = input.value; this.select(); } });
    this.title = h("h1");
    this.top = h("div");
    this.trouble = h("ul", { class: "tiles wide", id: "needs" });
    this.sees = h("ul", { class: "tiles", id: "sees" });
    this.planned = h("ul", { class: "tiles", id: "planned" });
    this.empty = h("p", { class: "quiet" });
    this.headings = ["needs", "sees", "planned"].map((name) => h("h2", null, say(name), name === "sees" ? h("small", null, ` ${say("sees_more")}`) : null));
    main.replaceChildren(h("div", { class: "top" }, this.title, input), this.top, this.empty, this.headings[0], this.trouble, this.headings[1], this.sees, this.headings[2], this.planned, legend());
    this.tiles.clear();
    this.summarize();
    this.layout();
  }

  /** A camera changed: only its own tile is made anew, and moved only where it belongs elsewhere now. */
  change(camera) {
    const list = this.listOf(camera);
    const old = this.tiles.get(key(camera));
    if (list === null) { old?.remove(); this.tiles.delete(key(camera)); this.refresh(); return; }
    const made = tile(camera, Date.now() / 1000);
    this.tiles.set(key(camera), made);
    made.hidden = !matches(camera, this.filter);
    if (old?.parentNode === list) old.replaceWith(made);
    else { old?.remove(); this.layout(); return; }
    this.refresh();
  }

  listOf(camera) {
    if (camera.state === null) return null;
    return camera.needs_somebody ? this.trouble : camera.state === "streaming" || camera.state === "connecting" ? this.sees : this.planned;
  }

  layout() {
    const now = Date.now() / 1000;
    const sorted = [...this.store.cameras.values()].sort((one, other) => collator.compare(one.box, other.box) || collator.compare(one.name, other.name));
    const lists = new Map([[this.trouble, []], [this.sees, []], [this.planned, []]]);
    for (const camera of sorted) {
      const list = this.listOf(camera);
      if (list === null) continue;
      if (!this.tiles.has(key(camera))) this.tiles.set(key(camera), tile(camera, now));
      lists.get(list).push(this.tiles.get(key(camera)));
    }
    for (const [list, tiles] of lists) list.replaceChildren(...tiles);
    this.select();
  }

  /** Show what the filter lets through: the tiles stay where they are, which is a tenth of the work of moving them. */
  select() {
    for (const [name, camera] of this.store.cameras) {
      const tile = this.tiles.get(name), hidden = !matches(camera, this.filter);
      if (tile && tile.hidden !== hidden) tile.hidden = hidden;
    }
    this.refresh();
  }

  refresh() {
    const shown = [this.trouble, this.sees, this.planned].map((list) => list.querySelector(":scope > :not([hidden])") !== null);
    shown.forEach((some, index) => { if (this.headings[index].hidden === some) this.headings[index].hidden = !some; });
    const none = this.store.cameras.size === 0;
    this.empty.textContent = none ? say("none") : shown.includes(true) ? "" : say("no_match");
  }

  summarize() {
    if (!this.store.summary) return;
    const boxes = new Set([...this.store.cameras.values()].map((camera) => camera.box)).size;
    this.title.textContent = say("title", { boxes: number(boxes), cameras: number(this.store.summary.cameras) });
    this.top.replaceChildren(...sums(this.store.summary));
  }

  leave() { this.tiles.clear(); }
}

export { PLANNED };
