// Requests to the page's own server, and the stream of changes.
export const session = { authenticated: false, may_see: false, password_set: false, csrf: null };

export class Failure extends Error {
  constructor(status, sentence) { super(sentence); this.status = status; }
}

async function request(path, options = {}) {
  const answer = await fetch(path, { ...options, credentials: "same-origin" });
  const type = answer.headers.get("content-type") ?? "";
  const body = type.includes("json") ? await answer.json() : type.startsWith("image/") ? await answer.blob() : null;
  if (!answer.ok) throw new Failure(answer.status, body?.error ?? answer.statusText);
  return body;
}

export const get = (path) => request(path);
export const post = (path, body = {}) => request(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json", "x-csrf-token": session.csrf ?? "" } });

export async function renew() {
  Object.assign(session, await get("/api/session"));
}

/** Follow all changes after the one of a number; a browser's EventSource connects again by itself and says where it was. */
export function follow(number, handlers) {
  const source = new EventSource(`/api/events?after=${number}`);
  for (const kind of ["camera", "summary", "broker", "reset"]) source.addEventListener(kind, (event) => handlers[kind](JSON.parse(event.data)));
  source.onerror = () => handlers.lost();
  source.onopen = () => handlers.found();
  return source;
}
