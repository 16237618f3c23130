// What the server says: data, or a problem with one sentence about it.

const PATIENCE = 30_000;

export class Problem extends Error {
  /** `state` is one of the server's, or "offline" where there was no response at all. */
  constructor(state, message) {
    super(message);
    this.state = state;
  }
}

/** Return what a data route of the page responds, or throw a Problem. */
export async function read(route, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value)).toString();
  let response;
  try {
    response = await fetch(`api/${route}${query && `?${query}`}`, {
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(PATIENCE),
    });
  } catch {
    throw new Problem("offline", "Airflow's API server did not respond. Check your network, then try again.");
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  if (body?.state) throw new Problem(body.state, body.message);
  if (response.status === 401)
    throw new Problem("logged_out", "You are logged out of Airflow. Log in, then try again.");
  if (response.status === 403)
    throw new Problem("not_allowed", "You may not see this. Ask an administrator of Airflow.");
  throw new Problem("failed", `The server responded with status ${response.status}. Its log says why.`);
}
