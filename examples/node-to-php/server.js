// The producer: takes orders over HTTP, hands each on as one task, and never works itself.
import { createServer } from 'node:http';
import { CircuitOpen, Client, ConnectionError, ProblemError } from '../../clients/node/index.js';
import { Limit } from './limit.js';

// One repetition, then the caller is told to come back, which X-Request-ID makes harmless. A scheduler that is away is not asked for 2 s.
const client = new Client({ timeoutMs: 3000, retries: 1, circuit: { failures: 5, pauseMs: 2000 } });
const limit = new Limit(Number(process.env.RATE) || 100);

async function place(request) {
  const requestId = request.headers['x-request-id'];
  if (!/^[\x21-\x7e]{8,128}$/.test(requestId ?? '')) return [400, { error: 'send X-Request-ID: a random one for each order, the same one when you send it again' }];
  const wait = limit.take();
  if (wait > 0) return [429, { error: 'too many orders' }, { 'retry-after': Math.ceil(wait) }];
  const order = JSON.parse(await text(request)) ?? {};
  const { customer, cents, currency = 'EUR', valid_until } = order;
  if (typeof customer !== 'string' || customer === '' || !Number.isSafeInteger(cents) || cents <= 0 || typeof currency !== 'string') {
    return [422, { error: 'an order has a customer, cents, and perhaps a currency' }];
  }
  const task = await client.submit({
    kind: 'invoice.write', queue: 'invoices', payload: { customer, cents, currency },
    max_attempts: 5, backoff_ms: [100, 300, 1000, 3000], // then to the dead letters
    ...(valid_until && { expires_at: valid_until }), // not started by then: cancelled. A time, not a span: that would be another one when it is sent again
  }, { requestId });
  return [202, { id: task.id, status: `/orders/${task.id}` }, { location: `/orders/${task.id}` }];
}

/** Where is it stuck? */
async function status(id) {
  const [task, why] = await Promise.all([client.task(id), client.why(id)]);
  const { state, attempt, failures, max_attempts, result, error } = task;
  return [200, { id, state, attempt, failures, max_attempts, result, error, why: why.map(({ reason }) => reason) }];
}

async function answer(request) {
  try {
    const { pathname } = new URL(request.url, 'http://localhost');
    const id = pathname.match(/^\/orders\/([\w-]+)$/)?.[1];
    if (request.method === 'POST' && pathname === '/orders') return await place(request);
    if (request.method === 'GET' && id) return await status(id);
    if (request.method === 'GET' && pathname === '/') return [200, { orders: 'POST /orders with X-Request-ID and {"customer": "Ada", "cents": 1999}; then GET /orders/{id}' }];
    return [404, { error: 'there is no such page' }];
  } catch (error) {
    if (error instanceof SyntaxError) return [400, { error: 'the body is no JSON' }];
    if (error instanceof RangeError) return [413, { error: error.message }];
    if (error instanceof CircuitOpen) return [503, { error: 'orders are not taken just now' }, { 'retry-after': Math.ceil(error.retryAfterMs / 1000) }];
    if (error instanceof ProblemError && error.code === 'idempotency_key_reused') return [409, { error: 'this X-Request-ID came with another order' }];
    if (error instanceof ProblemError && error.status < 500) return [error.status, { error: error.message }];
    console.error(error.message);
    if (error instanceof ConnectionError || error instanceof ProblemError) return [503, { error: 'orders are not taken just now' }, { 'retry-after': 1 }];
    return [500, { error: 'an error of ours' }];
  }
}

async function text(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    if ((size += part.length) > 65_536) throw new RangeError('an order has 64 KiB at most');
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

const server = createServer(async (request, response) => {
  const [code, body, headers] = await answer(request);
  response.writeHead(code, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers }).end(JSON.stringify(body) + '\n');
});
server.listen(Number(process.env.PORT ?? 8000), '127.0.0.1', () => console.log(`orders: http://127.0.0.1:${server.address().port}/orders`));
process.once('SIGTERM', () => { // what is being answered is answered
  server.close(() => process.exit());
  server.closeIdleConnections();
  setTimeout(() => server.closeAllConnections(), 3000); // who has connected and asks nothing
});
