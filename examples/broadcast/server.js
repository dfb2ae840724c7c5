// The web application: a page, a form that publishes, and a way for browsers to what is published. Start as many as you like, each with
// an API process of its own or all with one: a message reaches every browser.
import { readFile } from 'node:fs/promises';
import { createServer, request as ask } from 'node:http';
import { Client } from '../../clients/node/index.js';

const api = new URL(process.env.SCHEDULER_URL);
const token = process.env.SCHEDULER_TOKEN ? { authorization: `Bearer ${process.env.SCHEDULER_TOKEN}` } : {};
const client = new Client({ retries: 2, circuit: { pauseMs: 1000 } });
const files = { '/': ['index.html', 'text/html'], '/live.js': ['live.js', 'text/javascript'] };

// Browsers have no token: who may follow what only the application knows. Look at your session here.
const mayFollow = (request, pattern) => /^order(\.|$)/.test(pattern);
const mayFollowAll = (request) => ours(request); // a socket subscribes to whatever it likes
const mayPublish = (request) => request.headers.origin === undefined || ours(request); // what is no browser has none
const ours = ({ headers }) => URL.canParse(headers.origin) && new URL(headers.origin).host === headers.host; // no page of others

/** Passes the stream of a topic on, and where the browser left off. */
function follow(request, response, pattern) {
  const last = request.headers['last-event-id'];
  const upstream = ask(new URL(`/v1/topics/${encodeURIComponent(pattern)}/events`, api), { headers: { ...token, ...(last && { 'last-event-id': last }) } });
  // No answer and a 5xx cut the connection: an EventSource that gets a status other than 200 does not come back.
  upstream.on('error', () => response.destroy());
  upstream.on('response', (stream) => {
    if (stream.statusCode >= 500) return response.destroy();
    response.writeHead(stream.statusCode, { 'content-type': stream.headers['content-type'], 'cache-control': 'no-store' });
    stream.on('error', () => response.destroy()).pipe(response);
  });
  response.on('close', () => upstream.destroy());
  upstream.end();
}

/** Passes a WebSocket on. */
function socket(request, browser) {
  browser.on('error', () => browser.destroy());
  if (request.url !== '/live' || !mayFollowAll(request)) return browser.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n');
  const { connection, upgrade, 'sec-websocket-key': key, 'sec-websocket-version': version } = request.headers;
  const upstream = ask(new URL('/v1/ws', api), { headers: { ...token, connection, upgrade, 'sec-websocket-key': key ?? '', 'sec-websocket-version': version ?? '' } });
  upstream.on('error', () => browser.destroy());
  upstream.on('response', () => browser.destroy()); // refused
  upstream.on('upgrade', ({ headers }, server) => {
    browser.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${headers['sec-websocket-accept']}\r\n\r\n`);
    server.on('error', () => browser.destroy()).on('close', () => browser.destroy());
    browser.on('close', () => server.destroy());
    browser.pipe(server).pipe(browser);
  });
  upstream.end();
}

/** One publish: a task for each subscription that matches, and a message for all who follow. */
async function publish(request, response) {
  if (!mayPublish(request)) return response.writeHead(403).end();
  let body = '';
  for await (const part of request.setEncoding('utf8')) {
    if ((body += part).length > 65_536) return response.writeHead(413).end();
  }
  const { topic, payload } = JSON.parse(body);
  const message = await client.publish(String(topic), payload, { idempotency_key: request.headers['x-request-id'] });
  return response.writeHead(202, { 'content-type': 'application/json' }).end(JSON.stringify(message));
}

const server = createServer(async (request, response) => {
  try {
    const { pathname } = new URL(request.url, api);
    const pattern = decodeURIComponent(pathname.match(/^\/live\/(.+)$/)?.[1] ?? '');
    if (pattern && mayFollow(request, pattern)) return follow(request, response, pattern);
    if (pathname === '/publish' && request.method === 'POST') return await publish(request, response);
    if (!files[pathname]) return response.writeHead(404).end('There is no such page.');
    const [file, type] = files[pathname];
    return response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(await readFile(new URL(file, import.meta.url)));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof URIError || error instanceof TypeError) return response.writeHead(400).end('This is no message.');
    if (error.code !== 'circuit_open') console.error(error.message);
    return response.writeHead(error.status ?? 503).end(error.message);
  }
});
server.on('upgrade', socket);
server.listen(Number(process.env.PORT) || 8000, '127.0.0.1');
process.once('SIGTERM', () => process.exit()); // streams come back to another server by themselves
