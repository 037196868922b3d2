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

export const percent = (share) => new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: share < 0.1 ? 1 : 0 }).format(share);
export const number = (value, digits = 0) => new Intl.NumberFormat(locale, { maximumFractionDigits: digits }).format(value);

export function clock(seconds, withSeconds = false) {
  const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Intl.DateTimeFormat(locale, withSeconds ? { ...options, second: "2-digit" } : options).format(seconds * 1000);
}

export function day(seconds) {
  return new Intl.DateTimeFormat(locale, { weekday: "short", day: "numeric", month: "short" }).format(seconds * 1000);
}

/** The day of a row: Mon 16. */
export function shortDay(seconds) {
  return new Intl.DateTimeFormat(locale, { weekday: "short", day: "numeric" }).format(seconds * 1000).replace(",", "");
}

/** A length of time in two words at most: 12 s, 4 min, 2 h. */
export function span(seconds) {
  if (seconds >= 172800) return new Intl.NumberFormat(locale, { style: "unit", unit: "day", unitDisplay: "long", maximumFractionDigits: 0 }).format(seconds / 86400);
  const [value, unit] = seconds < 120 ? [seconds, "s"] : seconds < 7200 ? [seconds / 60, "min"] : [seconds / 3600, "h"];
  return `${number(Math.max(0, value), value < 10 && unit === "s" ? 1 : 0)}\u00a0${unit}`;
}
