// Requests of who has a link and no login. The token stands behind the #, which no browser sends to anybody by itself.
import { Failure } from "./api.js";

export const token = location.hash.slice(1);

export async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, credentials: "same-origin", headers: { "content-type": "application/json", "x-invite": token, ...options.headers } });
  const body = answer.headers.get("content-type")?.includes("json") ? await answer.json() : null;
  if (!answer.ok) throw Object.assign(new Failure(answer.status, body?.error ?? answer.statusText), { answer: body });
  return body;
}
