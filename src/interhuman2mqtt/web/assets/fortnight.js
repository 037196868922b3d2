// A fortnight: day by hour, the share of the analysed time in which people were engaged.
import { get } from "./api.js";
import { announce, h } from "./dom.js";
import { day, percent, say, shortDay } from "./text.js";

export class FortnightView {
  constructor(store, query) { this.store = store; this.box = query.get("box") ?? ""; this.camera = query.get("camera") ?? ""; }

  show(main) {
    this.table = h("div", { class: "panel" });
    const cameras = [...this.store.cameras.values()];
    const choice = (text, value, names, set) => h("label", null, `${say(text)} `, h("select", { onchange: (event) => { set(event.target.value); this.link(); } }, ["", ...names].map((name) => h("option", { value: name, selected: name === value }, name || say("all")))));
    main.replaceChildren(h("h1", null, say("when"), h("small", { class: "quiet" }, ` ${say("when_more")}`)),
      h("div", { class: "tools" },
        choice("box", this.box, [...new Set(cameras.map((camera) => camera.box))].sort(), (value) => { this.box = value; this.camera = ""; }),
        choice("camera", this.camera, [...new Set(cameras.filter((camera) => !this.box || camera.box === this.box).map((camera) => camera.name))].sort(), (value) => { this.camera = value; })),
      this.table);
    this.load();
  }

  link() { const query = new URLSearchParams(Object.entries({ box: this.box, camera: this.camera }).filter(([, value]) => value)); location.hash = `#/fortnight?${query}`; }

  async load() {
    const query = new URLSearchParams({ zone: Intl.DateTimeFormat().resolvedOptions().timeZone, ...(this.box && { box: this.box }), ...(this.camera && { camera: this.camera }) });
    try { this.render(await get(`/api/fortnight?${query}`)); } catch (error) { announce(say("failed", { why: error.message })); }
  }

  render({ days, hours }) {
    const cell = (date, hour, value) => {
      const name = day(Date.parse(`${date}T12:00:00`) / 1000);
      if (value === null) return h("td", { "data-tip": say("cell_none", { day: name, hour }), "aria-label": say("cell_none", { day: name, hour }) });
      const [analysed, share] = value;
      const text = say("cell", { day: name, hour, share: percent(share), analysed: percent(Math.min(1, analysed)) });
      const td = h("td", { class: analysed < 0.5 ? "part" : "some", "data-tip": text, "aria-label": text });
      td.style.setProperty("--share", share);
      return td;
    };
    this.table.replaceChildren(h("table", { class: "days" },
      h("thead", null, h("tr", null, h("td"), Array.from({ length: 24 }, (_, hour) => h("th", { scope: "col" }, h("span", { class: hour % 2 ? "unseen" : null }, hour))))),
      h("tbody", null, days.map((date, index) => h("tr", null, h("th", { scope: "row" }, shortDay(Date.parse(`${date}T12:00:00`) / 1000)), hours[index].map((value, hour) => cell(date, hour, value)))))));
  }

  change() {}
  summarize() {}
  leave() {}
}
