// One camera: its timeline over any range, and beside it how it is now, with pause and resume.
import { ask, forget, Snapshot } from "./acting.js";
import { get, session } from "./api.js";
import { announce, h } from "./dom.js";
import { legend } from "./fleet.js";
import { draw, handle } from "./timeline.js";
import { clock, day, number, say, span } from "./text.js";

const HOUR = 3600, LONGEST = 31 * 86400, SHORTEST = 10;

export class CameraView {
  constructor(store, box, name, query) {
    this.store = store; this.box = box; this.name = name;
    this.follow = !query.has("to");
    const to = Number(query.get("to")) || Date.now() / 1000;
    this.range = { from: Number(query.get("from")) || to - HOUR, to };
  }

  show(main) {
    this.title = h("h1");
    this.chart = h("div", { class: "panel", id: "timeline" });
    this.snapshot = new Snapshot();
    this.now = h("aside", { class: "panel now", "aria-label": say("now") });
    const button = (text, act) => h("button", { type: "button", onclick: act }, say(text));
    const length = () => this.range.to - this.range.from;
    const tools = h("div", { class: "tools" },
      button("earlier", () => this.go(this.range.from - length() / 2, this.range.to - length() / 2)), button("later", () => this.go(this.range.from + length() / 2, this.range.to + length() / 2)),
      button("zoom_in", () => this.go(this.range.from + length() / 4, this.range.to - length() / 4)), button("zoom_out", () => this.go(this.range.from - length() / 2, this.range.to + length() / 2)),
      button("hour", () => this.live(HOUR)), button("day", () => this.live(24 * HOUR)), button("now", () => this.live(length())));
    this.table = h("details", null, h("summary", null, say("table")));
    main.replaceChildren(this.title, tools, h("div", { class: "split" }, this.chart, this.now), this.snapshot.node, h("p", { class: "quiet" }, say("strength")), legend(), this.table);
    this.resize = new ResizeObserver(() => this.data && this.render());
    this.resize.observe(this.chart);
    this.timer = setInterval(() => this.follow && this.live(length()), 15000);
    this.load();
  }

  leave() { this.snapshot?.drop(); this.resize?.disconnect(); clearInterval(this.timer); clearTimeout(this.delay); }

  live(length) { this.follow = true; const to = Date.now() / 1000; this.range = { from: to - length, to }; this.link(); this.load(); }

  go(from, to) {
    const middle = (from + to) / 2, length = Math.min(LONGEST, Math.max(SHORTEST, to - from));
    this.follow = false;
    this.range = { from: middle - length / 2, to: middle + length / 2 };
    this.link();
    if (this.data) { Object.assign(this.data, this.range); this.render(); }
    clearTimeout(this.delay);
    this.delay = setTimeout(() => this.load(), 150);
  }

  /** The address always leads back to exactly this view. */
  link() {
    const query = this.follow ? "" : `?from=${this.range.from.toFixed(1)}&to=${this.range.to.toFixed(1)}`;
    history.replaceState(null, "", `#/camera/${encodeURIComponent(this.box)}/${encodeURIComponent(this.name)}${query}`);
  }

  async load() {
    const { from, to } = this.range;
    try {
      const data = await get(`/api/camera/${encodeURIComponent(this.box)}/${encodeURIComponent(this.name)}?from=${from}&to=${to}`);
      if (from !== this.range.from || to !== this.range.to) return;
      this.data = data;
      this.render();
      this.change(data.now);
    } catch (error) { announce(say("failed", { why: error.message })); }
  }

  render() {
    const { from, to } = this.range;
    const focused = this.chart.contains(document.activeElement);
    this.title.replaceChildren(this.name, h("small", { class: "quiet" }, ` ${say("on", { box: this.box })} · ${day(from)} ${say("range", { from: clock(from), to: `${day(to) === day(from) ? "" : `${day(to)} `}${clock(to)}` })}`));
    const chart = draw(this.data, Math.max(320, this.chart.clientWidth - 26));
    handle(chart, this.range, (low, high) => this.go(low, high));
    this.chart.replaceChildren(chart);
    if (focused) chart.focus();
    const rows = Object.entries(this.data.signals).flatMap(([kind, spans]) => spans.map(([start, end, probability, , late]) => [start, end, `${say(kind)}${probability ? `, ${say(probability)}` : ""}${late ? ` (${say("late")})` : ""}`]));
    const lanes = this.data.engagement.map(([start, end, kind, reason]) => [start, end, `${say(kind)}${reason ? `: ${reason}` : ""}`]);
    this.table.replaceChildren(this.table.firstElementChild, h("table", null, h("thead", null, h("tr", null, ["from", "to", "what"].map((name) => h("th", { scope: "col" }, say(name))))),
      h("tbody", null, [...lanes, ...rows].sort((one, other) => one[0] - other[0]).slice(0, 500).map(([start, end, what]) => h("tr", null, h("td", null, clock(start, true)), h("td", null, end === null ? say("now") : clock(end, true)), h("td", null, what))))));
  }

  change(camera) {
    if (!camera) { this.now.replaceChildren(say("missing")); return; }
    const now = Date.now() / 1000;
    const scores = this.data?.quality.filter((point) => point !== null).at(-1);
    const act = (command, body, text) => h("button", { type: "button", "data-act": command, disabled: !session.authenticated, onclick: () => ask(command, body) }, say(text));
    const own = { box: this.box, camera: this.name };
    const is_paused = camera.state === "paused";
    this.now.replaceChildren(h("div", null,
      h("div", null, h("b", { class: "big" }, camera.engagement ? say(camera.engagement) : say(camera.state))),
      h("div", null, camera.state === "streaming" ? camera.signals.map((kind) => say(kind)).join(", ") || say("no_signal") : `${(camera.reason ?? "").replaceAll("_", " ")}${camera.since ? ` ${say("for", { span: span(now - camera.since) })}` : ""}`),
      camera.detail ? h("p", { class: camera.needs_somebody ? "trouble" : "quiet" }, camera.detail) : null,
      scores && camera.state === "streaming" ? h("dl", null, this.data.quality_names.map((name, index) => scores[index + 1] === null ? null : [h("dt", null, say(name)), h("dd", null, number(scores[index + 1]))])) : null,
      camera.audio_only ? h("p", { class: "quiet" }, say("audio_only")) : null,
      camera.behind === null ? null : h("p", { class: "quiet" }, `${span(camera.behind)} ${say("behind")}`),
      camera.last_media_at ? h("p", { class: "quiet" }, `${say("last_media")} ${clock(camera.last_media_at, true)}`) : null,
      session.password_set ? h("div", { class: "row" }, act(is_paused ? "resume" : "pause", own, is_paused ? "resume" : "pause"), act("pause", { box: this.box }, "pause_box"), act("resume", { box: this.box }, "resume_box"),
        camera.audio_only ? null : h("button", { type: "button", "data-act": "snapshot", disabled: !session.authenticated || camera.state !== "streaming", onclick: () => this.snapshot.take(own) }, say("snapshot")),
        h("button", { type: "button", "data-act": "forget", disabled: !session.authenticated, onclick: () => forget(own, this.range, () => this.load()) }, say("forget"))) : null));
  }

  summarize() {}
}
