// A server that answers as a test says, and keeps what it was asked.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Worker } from '../index.js';

/** answer(request, n) returns {status, body, headers}, or nothing to cut the connection. Requests have method, path, headers, body. */
export async function fake(t, answer) {
  const requests = [];
  const server = createServer(async (req, res) => {
    let text = '';
    for await (const chunk of req) text += chunk;
    const request = { method: req.method, path: req.url, headers: req.headers, body: text === '' ? undefined : JSON.parse(text), res };
    requests.push(request);
    const given = await answer(request, requests.length);
    if (given === undefined) return req.socket.destroy();
    if (given === 'later') return undefined;
    const { status = 200, body, headers = {} } = given;
    res.writeHead(status, { 'content-type': status < 300 ? 'application/json' : 'application/problem+json', ...headers });
    return res.end(body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, requests };
}

/** A promise and what settles it. */
export function deferred() {
  let resolve;
  const promise = new Promise((r) => (resolve = r));
  return { promise, resolve };
}

export const quiet = { error() {} };

/** A logger that keeps what is said. */
export function noting() {
  const lines = [];
  return { lines, error: (line) => lines.push(line) };
}

/** A lease of task n, whose payload is n. */
export const task = (n, more = {}) => ({ lease: `l${n}`, expires_at: '2030-01-01T00:00:00Z', task: { id: `t${n}`, kind: 'x', payload: n, attempt: 1, timeout_ms: null, checkpoint: null, ...more } });

/** A server with leases to give; it hands on what is said about them. */
export async function serverOf(t, given, say = () => undefined) {
  let stopped = false;
  const polls = [];
  const server = await fake(t, async (request, n) => {
    const { method, path, body } = request;
    const said = await say(request, n);
    if (said) return said;
    if (method === 'DELETE') return { status: 204 };
    if (path === '/v1/leases') {
      polls.push(body);
      const leases = given.splice(0, body.max);
      if (leases.length === 0 && !stopped) return 'later';
      return { body: { worker: { id: body.worker.id, state: 'run' }, leases } };
    }
    if (path.startsWith('/v1/workers/')) return { body: { state: 'run', expires_at: 'x', cancelled: [], lost: [] } };
    if (path === '/v1/leases/batch') return { body: { results: body.items.map(() => ({ status: 200, state: 'completed', cancelled: false })) } };
    return { body: { state: path.endsWith('/heartbeat') ? 'run' : 'completed', cancelled: false } };
  });
  return { ...server, polls, stop: () => (stopped = true) };
}

export const make = (url, more) => new Worker({ url, signals: false, logger: quiet, ...more });
/** All that was said of leases. */
export const outcomes = (requests) => requests.flatMap(({ path, body }) => {
  if (path === '/v1/leases/batch') return body.items;
  const [, lease, op] = /^\/v1\/leases\/(l\d+)\/(\w+)$/.exec(path) ?? [];
  return lease ? [{ lease, op, ...body }] : [];
});
