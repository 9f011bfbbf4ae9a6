// The HTTP API, read a page or all pages at a time.

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export async function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(parameters).toString();
  const response = await fetch(query ? `${path}?${query}` : path, { signal });
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new Refused(response.status, body.detail ?? response.statusText);
  }
  return response.json();
}

export async function getAll(path, parameters, most = 5_000, signal = undefined) {
  const rows = [];
  let cursor = null;
  do {
    const page = await get(path, { ...parameters, limit: 1_000, ...(cursor ? { cursor } : {}) }, signal);
    rows.push(...page.rows);
    cursor = page.next;
  } while (cursor && rows.length < most);
  return rows;
}

// The token for a cookie, which the server sets and no script can read.
export async function login(token) {
  const response = await fetch("/api/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  if (!response.ok) throw new Refused(response.status, response.statusText);
}
