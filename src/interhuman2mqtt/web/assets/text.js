// All words of the page, from one catalogue per language; times in the viewer's own zone.
let words = {};
export let language = "en";

export async function load() {
  const wanted = (navigator.languages ?? [navigator.language]).map((tag) => tag.slice(0, 2));
  language = wanted.find((tag) => tag === "en" || tag === "de") ?? "en";
  words = await (await fetch(`/assets/${language}.json`)).json();
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = say(node.dataset.text);
}

/** The text of a key, with {names} filled in; a word of the cloud that is in no catalogue stands for itself. */
export function say(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export const percent = (share) => new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: share < 0.1 ? 1 : 0 }).format(share);
export const number = (value, digits = 0) => new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);

export function clock(seconds, withSeconds = false) {
  const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Intl.DateTimeFormat(language, withSeconds ? { ...options, second: "2-digit" } : options).format(seconds * 1000);
}

export function day(seconds) {
  return new Intl.DateTimeFormat(language, { weekday: "short", day: "numeric", month: "short" }).format(seconds * 1000);
}

/** The day of a row: Mon 16. */
export function shortDay(seconds) {
  return new Intl.DateTimeFormat(language, { weekday: "short", day: "numeric" }).format(seconds * 1000).replace(",", "");
}

/** A length of time in two words at most: 12 s, 4 min, 2 h. */
export function span(seconds) {
  const [value, unit] = seconds < 120 ? [seconds, "second"] : seconds < 7200 ? [seconds / 60, "minute"] : seconds < 172800 ? [seconds / 3600, "hour"] : [seconds / 86400, "day"];
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: unit === "day" ? "long" : "short", maximumFractionDigits: value < 10 && unit === "second" ? 1 : 0 }).format(Math.max(0, value));
}
