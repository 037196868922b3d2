// All words of the page, from one catalogue per language; times in the viewer's own zone.
let words = {};
export let language = "en";
let locale = "en";

export async function load() {
  const wanted = (navigator.languages ?? [navigator.language]).map((tag) => tag.slice(0, 2));
  language = wanted.find((tag) => tag === "en" || tag === "de") ?? "en";
  locale = (navigator.languages ?? []).find((tag) => tag.startsWith(language)) ?? language;
  words = await (await fetch(`/assets/${language}.json`)).json();
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = say(node.dataset.text);
}

/** The text of a key, with {names} filled in; a word of the cloud that is in no catalogue stands for itself. */
export function say(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// Made once for each form: to make one costs a hundred times what it does, and a large fleet shows thousands of numbers.
const made = new Map();

function format(Kind, options) {
  const key = `${Kind.name} ${locale} ${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, new Kind(locale, options));
  return made.get(key);
}

export const percent = (share) => format(Intl.NumberFormat, { style: "percent", maximumFractionDigits: share < 0.1 ? 1 : 0 }).format(share);
export const number = (value, digits = 0) => format(Intl.NumberFormat, { maximumFractionDigits: digits }).format(value);

export function clock(seconds, withSeconds = false) {
  const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return format(Intl.DateTimeFormat, withSeconds ? { ...options, second: "2-digit" } : options).format(seconds * 1000);
}

export function day(seconds) {
  return format(Intl.DateTimeFormat, { weekday: "short", day: "numeric", month: "short" }).format(seconds * 1000);
}

/** The day of a row: Mon 16. */
export function shortDay(seconds) {
  return format(Intl.DateTimeFormat, { weekday: "short", day: "numeric" }).format(seconds * 1000).replace(",", "");
}

/** A length of time in two words at most: 12 s, 4 min, 2 h. */
export function span(seconds) {
  if (seconds >= 172800) return format(Intl.NumberFormat, { style: "unit", unit: "day", unitDisplay: "long", maximumFractionDigits: 0 }).format(seconds / 86400);
  const [value, unit] = seconds < 120 ? [seconds, "s"] : seconds < 7200 ? [seconds / 60, "min"] : [seconds / 3600, "h"];
  return `${number(Math.max(0, value), value < 10 && unit === "s" ? 1 : 0)}\u00a0${unit}`;
}
