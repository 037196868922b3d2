// A browser as a camera. What it may do is asked of the box all the time: where it is not known, the camera is off.
import { announce } from "./dom.js";
import { ask, token } from "./invited.js";
import { clock, day, load, say } from "./text.js";
import { Uplink } from "./uplink.js";

const LOOK_MS = 2000;
const SLICE_MS = 1000;
const AGAIN_MS = 2000; // between two recorders, however often the box asks for another
const KEY_FRAME_MS = 2000; // the cloud wants a key frame in each 8 s, and what has them rarely has to be encoded again
const TYPES = ["video/mp4;codecs=avc1.42E01F,mp4a.40.2", "video/mp4;codecs=avc1.42E01F,opus", "video/webm;codecs=h264,opus", "video/mp4", "video/webm;codecs=vp8,opus", "video/webm"];
const AUDIO_TYPES = ["audio/mp4;codecs=mp4a.40.2", "audio/mp4;codecs=opus", "audio/webm;codecs=opus", "audio/mp4", "audio/webm"];
const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 25, max: 30 } };
const BITS = { videoBitsPerSecond: 1_500_000, audioBitsPerSecond: 64_000 };

const CALM = new Set([null, undefined, "no_browser", "starting"]); // reasons that do not say why it is off

const node = (id) => document.getElementById(id);
const browser = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
let wanted = false; // somebody has pressed start, and not stop
let stream = null;
let recorder = null;
let uplink = null;
let recorders = 0;
let takes = 0;
let begunAt = -AGAIN_MS;
let lock = null;
let note = ""; // why somebody has to press start
let audioOnly = false; // its model analyses nothing else, so that no camera is opened

function show(is, why = "") {
  node("is").dataset.is = is === "on" ? "on" : is === "begins" || is === "broken" ? "trouble" : "off";
  node("is").textContent = say(`browser_${is}`);
  node("why").textContent = why;
  node("start").hidden = node("look").hidden = wanted || !["idle", "preview"].includes(is);
  node("look").hidden ||= Boolean(stream);
  node("stop").hidden = !wanted;
  node("microphone").disabled = wanted;
  node("microphone").parentElement.hidden = audioOnly;
  node("audio-only").hidden = !audioOnly;
  node("look").hidden ||= audioOnly;
  node("preview").hidden = !stream || audioOnly;
}

/** The lamp goes out, and nothing that was recorded leaves any more. */
function off() {
  uplink?.drop();
  uplink = null;
  if (recorder && recorder.state !== "inactive") recorder.stop();
  recorder = null;
  takes += 1;
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  node("preview").srcObject = null;
  lock?.release().catch(() => {});
  lock = null;
}

async function open() {
  if (audioOnly) return navigator.mediaDevices.getUserMedia({ audio: true });
  const audio = node("microphone").checked;
  try {
    return await navigator.mediaDevices.getUserMedia({ video: VIDEO, audio });
  } catch (error) {
    if (!audio || error.name === "NotAllowedError") throw error;
    return navigator.mediaDevices.getUserMedia({ video: VIDEO, audio: false }); // there is no microphone
  }
}

/** Take the camera, if it is not taken already: the lamp goes on. A browser that wants a click again gets one. */
async function take() {
  if (stream) return;
  const mine = ++takes;
  let opened;
  try { opened = await open(); } catch (error) {
    if (mine === takes) leave(say(error.name === "NotAllowedError" ? "browser_denied" : "browser_no_camera", { why: error.message }));
    return;
  }
  if (mine !== takes) { for (const track of opened.getTracks()) track.stop(); return; } // it was turned off in the meantime
  stream = opened;
  for (const track of stream.getTracks()) track.onended = () => leave(say("browser_ended"));
  node("preview").srcObject = stream;
  lock = await navigator.wakeLock?.request("screen").catch(() => null) ?? null;
}

/** Begin a recorder, and send what it makes. */
async function begin() {
  begunAt = performance.now();
  await take();
  if (!stream || !wanted || uplink) return;
  const mine = new Uplink(browser, recorders++, (taken) => { if (uplink === mine) show(taken ? "on" : "broken"); });
  const mimeType = (audioOnly ? AUDIO_TYPES : TYPES).find((type) => MediaRecorder.isTypeSupported(type));
  recorder = new MediaRecorder(stream, { ...BITS, mimeType, videoKeyFrameIntervalDuration: KEY_FRAME_MS });
  recorder.ondataavailable = (event) => mine.add(event.data);
  recorder.onstop = () => mine.finish();
  recorder.start(SLICE_MS);
  uplink = mine;
  show("begins");
  follow(mine);
}

async function follow(mine) {
  const { what, why } = await mine.run();
  if (uplink !== mine) return; // it was turned off in the meantime
  if (what === "begin") return again();
  off();
  if (what === "over") { wanted = false; show("over", why); return; }
  show(what === "lost" ? "lost" : "off", why);
}

/** Another recorder, of the same camera. */
async function again() {
  uplink.drop();
  uplink = null;
  recorder.onstop = null;
  if (recorder.state !== "inactive") recorder.stop();
  await new Promise((done) => { setTimeout(done, Math.max(0, begunAt + AGAIN_MS - performance.now())); });
  if (wanted && stream && !uplink) begin();
}

function leave(why = "") {
  navigator.sendBeacon(`/api/browser/end?browser=${browser}`, token); // first: a tab that is closed may not come to anything else
  note = why;
  wanted = false;
  off();
  show("idle", note);
}

/** Look whether it may begin; while it records, each chunk's answer says so. */
async function look() {
  if (!uplink) {
    try {
      const now = await ask(`/api/browser?browser=${browser}`);
      node("camera").textContent = `${now.camera} · ${now.box}`;
      audioOnly = now.audio_only;
      node("until").textContent = now.expires_at === null ? "" : say("browser_until", { time: `${day(now.expires_at)} ${clock(now.expires_at)}` });
      if (uplink) { /* it has begun in the meantime */ }
      else if (!now.may_begin) { off(); show("off", CALM.has(now.reason) ? now.why : say(now.reason)); }
      else if (wanted && performance.now() - begunAt >= AGAIN_MS) await begin();
      else if (!wanted) show(stream ? "preview" : "idle", note);
    } catch (error) {
      off();
      if (error.status === 404) { wanted = false; show("over", error.message); return; }
      show("lost", error.message);
    }
  }
  setTimeout(look, LOOK_MS);
}

node("look").addEventListener("click", async () => {
  note = "";
  node("look").hidden = true;
  await take();
  if (stream) show("preview");
});
node("start").addEventListener("click", async () => {
  wanted = true;
  note = "";
  node("start").hidden = node("look").hidden = true;
  await begin();
});
node("stop").addEventListener("click", () => { leave(); announce(say("browser_stopped")); });
addEventListener("pagehide", () => { if (wanted || stream) leave(); });

await load();
if (!isSecureContext || !navigator.mediaDevices?.getUserMedia) show("cannot", say("browser_insecure"));
else if (!globalThis.MediaRecorder || !TYPES.some((type) => MediaRecorder.isTypeSupported(type))) show("cannot", say("browser_unsupported"));
else look();
