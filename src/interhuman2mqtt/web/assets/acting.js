// What somebody who is logged in may do with one camera: pause, resume, look once, have things forgotten.
import { post } from "./api.js";
import { announce, h } from "./dom.js";
import { clock, day, say } from "./text.js";

const SHOWN_S = 60;

/** Send a request, and say what the box answered. */
export async function ask(command, body) {
  try {
    const answer = await post(`/api/${command}`, body);
    announce(answer.status === "ok" ? say("asked", { box: body.box, answer: say("ok") }) : say("not_done", { why: answer.error ?? "" }));
  } catch (error) { announce(say("not_done", { why: error.message })); }
}

/** A picture of now, which is gone after a minute, from the browser's memory too. */
export class Snapshot {
  constructor() { this.node = h("figure", { class: "panel picture", hidden: true }); }

  async take(body) {
    try { this.show(await post("/api/snapshot", body), body.camera); } catch (error) { announce(say("not_done", { why: error.message })); }
  }

  show(jpeg, camera) {
    this.drop();
    this.url = URL.createObjectURL(jpeg);
    const left = h("span", { class: "quiet" });
    const alt = say("snapshot_of", { camera, time: clock(Date.now() / 1000, true) });
    this.node.replaceChildren(h("img", { src: this.url, alt }), h("figcaption", null, `${alt} `, left, " ", h("button", { type: "button", onclick: () => this.drop() }, say("close"))));
    this.node.hidden = false;
    const ends = Date.now() + SHOWN_S * 1000;
    const count = () => { const seconds = Math.ceil((ends - Date.now()) / 1000); seconds > 0 ? (left.textContent = say("gone_in", { seconds })) : this.drop(); };
    count();
    this.timer = setInterval(count, 1000);
  }

  drop() {
    clearInterval(this.timer);
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    this.node.replaceChildren();
    this.node.hidden = true;
  }
}

/** Ask what is to be forgotten, and say what came of it; `done` is called afterwards. */
export function forget(body, range, done) {
  const choice = (value, text, checked) => h("label", { class: "choice" }, h("input", { type: "radio", name: "span", value, checked }), ` ${text}`);
  const at = (moment) => `${day(moment)} ${clock(moment)}`;
  const dialog = h("dialog", { id: "forget-dialog", "aria-labelledby": "forget-title" }, h("form", { method: "dialog" },
    h("h2", { id: "forget-title" }, say("forget_title", { camera: body.camera })),
    h("p", null, say("forget_more")),
    choice("range", say("range", { from: at(range.from), to: at(range.to) }), true), choice("all", say("forget_all"), false),
    h("p", { class: "quiet" }, say("forget_not")),
    h("div", { class: "buttons" }, h("button", { value: "cancel" }, say("cancel")), h("button", { value: "forget", class: "primary" }, say("forget")))));
  dialog.addEventListener("close", async () => {
    const all = dialog.querySelector("input[value=all]").checked;
    dialog.remove();
    if (dialog.returnValue !== "forget") return;
    try {
      const { history, box } = await post("/api/forget", { ...body, ...(all ? {} : range) });
      announce(say("forgot", { rows: history, box: body.box, answer: box.status === "ok" ? say("ok") : box.error ?? "" }));
      done();
    } catch (error) { announce(say("not_done", { why: error.message })); }
  });
  document.body.append(dialog);
  dialog.showModal();
}
