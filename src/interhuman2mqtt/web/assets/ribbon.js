// The last hour of a camera as one bar: how engaged people were, and where nobody knows.
import { kindClass, s } from "./dom.js";
import { clock, say } from "./text.js";

/** What one stretch of a lane says when it is pointed at. */
export function stretchText([start, end, kind, reason]) {
  return `${clock(start, true)} – ${clock(end, true)}  ${say(kind)}${reason ? `: ${reason.replaceAll("_", " ")}` : ""}`;
}

export function ribbon(parts, label) {
  const [start, end] = parts.length ? [parts[0][0], parts.at(-1)[1]] : [0, 1];
  const share = (seconds) => (100 * seconds) / Math.max(1, end - start);
  // In percent, not by a viewBox that is stretched: hatches would be stretched with it.
  return s("svg", { role: "img", "aria-label": label },
    parts.map((part) => s("rect", { class: kindClass(part[2]), x: `${share(part[0] - start)}%`, width: `${Math.max(0.3, share(part[1] - part[0]))}%`, y: 0, height: "100%", "data-tip": stretchText(part) })));
}

/** In words, for who cannot see the bar: the share of each kind. */
export function inWords(parts, percent) {
  const total = parts.reduce((sum, part) => sum + part[1] - part[0], 0);
  const sums = {};
  for (const [start, end, kind] of parts) sums[kind] = (sums[kind] ?? 0) + end - start;
  return Object.entries(sums).map(([kind, seconds]) => `${say(kind)} ${percent(seconds / Math.max(1, total))}`).join(", ");
}
