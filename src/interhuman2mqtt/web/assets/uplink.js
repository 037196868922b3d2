// What one recorder makes, in numbered chunks, until the box has taken each of them.
import { ask } from "./invited.js";

const PIECE = 2 << 20; // the page takes requests of 4 MiB
const AGAIN_MS = 500;
const ANSWER_MS = 15000;
let buffer = 20000; // how long a broken line may be made good, until the box has said it: ms

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

export class Uplink {
  #waiting = [];
  #made = 0;
  #finished = false;
  #dropped = false;
  #wake = () => {};

  /**
   * @param {string} browser of which the chunks are
   * @param {number} recorder which one of its recorders
   * @param {(taken: boolean) => void} onLine after each attempt
   */
  constructor(browser, recorder, onLine) {
    this.place = `/api/browser/chunk?browser=${browser}&recorder=${recorder}&chunk=`;
    this.onLine = onLine;
  }

  add(blob) {
    for (let at = 0; at < blob.size; at += PIECE) this.#waiting.push({ number: this.#made++, content: blob.slice(at, at + PIECE), at: performance.now() });
    this.#wake();
  }

  /** Nothing follows: what waits is sent, and that is all. */
  finish() { this.#finished = true; this.#wake(); }

  /** Nothing of it leaves this browser any more. */
  drop() { this.#dropped = true; this.#waiting = []; this.#wake(); }

  /** Send until the end; returns what to do then (begin, stop, over, lost, done), and why. */
  async run() {
    for (;;) {
      if (this.#dropped || (this.#finished && !this.#waiting.length)) return { what: "done" };
      if (!this.#waiting.length) { await new Promise((wake) => { this.#wake = wake; }); continue; }
      const end = await this.#send(this.#waiting[0]);
      if (end) return end;
    }
  }

  async #send({ number, content, at }) {
    try {
      const taken = await ask(this.place + number, { method: "POST", body: content, signal: AbortSignal.timeout(ANSWER_MS), headers: { "content-type": "application/octet-stream" } });
      buffer = taken.buffer * 1000;
      this.#take(taken.next);
      this.onLine(true);
    } catch (error) {
      if (this.#dropped) return null;
      if (error.status === 404) return { what: "over", why: error.message };
      if (error.answer?.do === "send" && error.answer.next > number) { this.#take(error.answer.next); return null; }
      if (error.status === 400 || error.status === 413 || error.answer?.do === "send") return { what: "begin", why: error.message };
      if (error.answer?.do) return { what: error.answer.do, why: error.message };
      if (performance.now() - at > buffer) return { what: "lost", why: error.message };
      this.onLine(false);
      await pause(AGAIN_MS);
    }
    return null;
  }

  #take(next) {
    while (this.#waiting.length && this.#waiting[0].number < next) this.#waiting.shift();
  }
}
