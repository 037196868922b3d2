// One camera on a time axis, drawn by hand in SVG: what was analysed, engagement, a lane for each signal, the score.
import { kindClass, s } from "./dom.js";
import { stretchText } from "./ribbon.js";
import { clock, day, number, say } from "./text.js";

const LEFT = 104, RIGHT = 12, TOP = 22, ROW = 19, LINE = 84;
const STEPS = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800];

/** Round moments for the axis, in the viewer's own zone. */
export function ticks(from, to, most) {
  const step = STEPS.find((seconds) => (to - from) / seconds <= most) ?? STEPS.at(-1);
  const offset = new Date(from * 1000).getTimezoneOffset() * 60;
  const first = Math.ceil((from - offset) / step) * step + offset;
  return Array.from({ length: Math.max(0, Math.floor((to - first) / step) + 1) }, (_, index) => first + index * step);
}

export function draw(data, width) {
  const { from, to } = data;
  const x = (at) => LEFT + ((Math.min(Math.max(at, from), to) - from) / (to - from)) * (width - LEFT - RIGHT);
  const kinds = Object.keys(data.signals).sort();
  const signalsTop = TOP + 24 + 26;
  const lineTop = signalsTop + kinds.length * ROW + 14;
  const height = lineTop + LINE + 12;
  const label = (text, y) => s("text", { x: LEFT - 8, y, "text-anchor": "end" }, text);
  const axis = ticks(from, to, Math.max(2, Math.floor((width - LEFT) / 90))).map((at) => [
    s("line", { class: "grid", x1: x(at), x2: x(at), y1: TOP - 4, y2: height - 8 }),
    s("text", { class: "axis", x: x(at), y: 12, "text-anchor": x(at) > width - 36 ? "end" : "middle" }, (at - new Date(at * 1000).getTimezoneOffset() * 60) % 86400 === 0 ? day(at) : clock(at, to - from < 300)),
  ]);
  const bar = (part, y, high) => s("rect", { class: kindClass(part[2]), x: x(part[0]), y, width: Math.max(1, x(part[1]) - x(part[0])), height: high, "data-tip": stretchText(part) });
  const signal = (kind, y) => data.signals[kind].map(([start, end, probability, rationale, late]) => s("rect", {
    class: `p-${["low", "medium", "high"].includes(probability) ? probability : "medium"}${late ? " late" : ""}`, x: x(start), y: y - 9, rx: 2,
    width: Math.max(2, x(end ?? to) - x(start)), height: 12,
    "data-tip": `${say(kind)}${late ? ` (${say("late")})` : ""} ${clock(start, true)} – ${end === null ? say("now") : clock(end, true)}${probability ? `, ${say(probability)}` : ""}${rationale ? `: ${rationale}` : ""}`,
  }));
  const y = (score) => lineTop + LINE - (score / 100) * LINE;
  const runs = [[]];
  for (const point of data.quality) point === null || point[1] === null ? runs.push([]) : runs.at(-1).push(point);
  return s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": say("chart", { camera: data.now?.name ?? "" }), tabindex: 0 },
    axis,
    label(say("analysed"), TOP + 9), data.analysed.map((part) => bar(part, TOP, 11)),
    label(say("engagement"), TOP + 35), data.engagement.map((part) => bar(part, TOP + 22, 18)),
    kinds.map((kind, index) => [label(say(kind), signalsTop + index * ROW + 12), signal(kind, signalsTop + index * ROW + 12)]),
    label(say("quality"), lineTop + LINE / 2), [0, 100].map((score) => [s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(score), y2: y(score) }), s("text", { class: "axis", x: LEFT - 8, y: y(score) + 4, "text-anchor": "end" }, score)]),
    runs.filter((run) => run.length > 1).map((run) => s("polyline", { class: "line", points: run.map((point) => `${x(point[0])},${y(point[1])}`).join(" ") })),
    data.quality.filter((point) => point !== null && point[1] !== null).map((point) => s("circle", { cx: x(point[0]), cy: y(point[1]), r: 5, fill: "transparent", "data-tip": `${clock(point[0], true)}  ${data.quality_names.map((name, index) => point[index + 1] === null ? null : `${say(name)} ${number(point[index + 1])}`).filter(Boolean).join(", ")}` })));
}

/** Zoom around a moment and move along, by wheel, drag, touch and keys; `go` is called with the new range. */
export function handle(chart, range, go) {
  const width = () => chart.clientWidth;
  const at = (event) => range.from + ((event.clientX - chart.getBoundingClientRect().left - (LEFT * width()) / chart.viewBox.baseVal.width) / (width() * (1 - (LEFT + RIGHT) / chart.viewBox.baseVal.width))) * (range.to - range.from);
  const zoom = (moment, factor) => go(moment - (moment - range.from) * factor, moment + (range.to - moment) * factor);
  const move = (share) => go(range.from + share * (range.to - range.from), range.to + share * (range.to - range.from));
  chart.addEventListener("wheel", (event) => { event.preventDefault(); Math.abs(event.deltaX) > Math.abs(event.deltaY) ? move(event.deltaX / 1000) : zoom(at(event), event.deltaY > 0 ? 1.25 : 0.8); }, { passive: false });
  chart.addEventListener("keydown", (event) => {
    const middle = (range.from + range.to) / 2;
    const acts = { ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2), "+": () => zoom(middle, 0.5), "-": () => zoom(middle, 2) };
    if (acts[event.key]) { event.preventDefault(); acts[event.key](); }
  });
  const fingers = new Map();
  let pinch = 0;
  chart.addEventListener("pointerdown", (event) => { fingers.set(event.pointerId, event.clientX); chart.setPointerCapture(event.pointerId); });
  chart.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = [...fingers.values()];
    fingers.set(event.pointerId, event.clientX);
    const after = [...fingers.values()];
    if (after.length === 2) { pinch = Math.abs(before[0] - before[1]) / Math.max(20, Math.abs(after[0] - after[1])); if (Math.abs(pinch - 1) > 0.02) zoom(at(event), pinch); }
    else if (Math.abs(after[0] - before[0]) > 2) move((before[0] - after[0]) / width());
  });
  for (const kind of ["pointerup", "pointercancel"]) chart.addEventListener(kind, (event) => fingers.delete(event.pointerId));
}
