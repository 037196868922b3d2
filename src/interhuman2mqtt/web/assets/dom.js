// Elements without markup in strings: what boxes publish is only ever text.
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
export const s = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

const KINDS = new Set(["engaged", "neutral", "disengaged", "no_level", "gap", "filled", "not_known", "analysed"]);
export const kindClass = (kind) => `k-${KINDS.has(kind) ? kind : "other"}`;

/** The patterns of what was not analysed, and of what is not known; once in each document. */
export function patterns() {
  return s("svg", { width: 0, height: 0, "aria-hidden": "true" }, s("defs", null,
    s("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, s("rect", { class: "hatchback", width: 6, height: 6 }), s("line", { class: "hatch", x1: 0, y1: 0, x2: 0, y2: 6 })),
    s("pattern", { id: "dots", width: 5, height: 5, patternUnits: "userSpaceOnUse" }, s("rect", { class: "hatchback", width: 5, height: 5 }), s("circle", { class: "dot", cx: 2, cy: 2, r: 0.8 }))));
}

let hideTimer = 0;
/** Show a text beside the pointer while it is over an element that has `data-tip`. */
export function tips() {
  const tip = document.getElementById("tip");
  document.addEventListener("pointermove", (event) => {
    const text = event.target.closest?.("[data-tip]")?.dataset.tip;
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    tip.style.left = `${Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  });
}

export function announce(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  clearTimeout(hideTimer);
  hideTimer = setTimeout(() => { said.textContent = ""; }, 8000);
}
