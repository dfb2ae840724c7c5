// A server that answers as a test says, and keeps what it was asked.
import { once } from 'node:events';
import { createServer } from 'node:http';

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
