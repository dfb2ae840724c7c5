import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import test from 'node:test';
import { inspect } from 'node:util';
import { CircuitOpen, Client, ConnectionError, ProblemError } from '../index.js';
import { fake } from './fake.js';

const id = '01a1fbef-233c-7042-95b8-43300d35ff2a';

test('submit sends what it is told', async (t) => {
  const { url, requests } = await fake(t, () => ({ status: 202, body: { id, state: 'ready' } }));
  const client = new Client({ url: `${url}/`, token: 'secret' });
  const task = await client.submit({ kind: 'mail.send', payload: { to: 'žluť 🐎' }, queue: 'mail' }, { requestId: 'r-1', wait: 99, traceparent: '00-x' });
  assert.deepEqual(task, { id, state: 'ready' });
  const [{ method, path, headers, body }] = requests;
  assert.deepEqual([method, path, body], ['POST', '/v1/tasks', { kind: 'mail.send', payload: { to: 'žluť 🐎' }, queue: 'mail' }]);
  assert.deepEqual([headers.authorization, headers['x-request-id'], headers.prefer, headers.traceparent, headers['content-type']],
    ['Bearer secret', 'r-1', 'wait=60', '00-x', 'application/json']);
});

test('a submit with a key is repeated, one without is not', async (t) => {
  const answers = [undefined, { status: 503, body: { code: 'database_unavailable' } }, { status: 202, body: { id } }];
  const first = await fake(t, (_, n) => answers[n - 1]);
  assert.equal((await new Client({ url: first.url }).submit({ kind: 'x', idempotency_key: 'k' })).id, id);
  assert.equal(first.requests.length, 3);

  const second = await fake(t, () => undefined);
  await assert.rejects(new Client({ url: second.url }).submit({ kind: 'x' }), (error) => error instanceof ConnectionError && error.sent);
  assert.equal(second.requests.length, 1);

  const third = await fake(t, () => ({ status: 503, body: {} }));
  await assert.rejects(new Client({ url: third.url }).submit({ kind: 'x' }), ProblemError);
  assert.equal(third.requests.length, 1);
});

test('nobody listens: nothing was sent', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  await assert.rejects(new Client({ url: `http://127.0.0.1:${port}`, retries: 1 }).submit({ kind: 'x' }), (error) => error instanceof ConnectionError && !error.sent);
});

test('a server that does not answer is left alone, then tried by one', async (t) => {
  let sick = true;
  const { url, requests } = await fake(t, async () => (sick ? undefined : { status: 200, body: { id } }));
  const client = new Client({ url, retries: 0, circuit: { failures: 2, pauseMs: 60_000 } });
  for (const name of ['ConnectionError', 'ConnectionError', 'CircuitOpen', 'CircuitOpen']) await assert.rejects(client.task(id), { name });
  assert.equal(requests.length, 2);
  await assert.rejects(client.task(id), (error) => error instanceof ConnectionError && error.code === 'circuit_open' && !error.sent && error.retryAfterMs > 0);

  const soon = new Client({ url, retries: 0, circuit: { failures: 1, pauseMs: 1 } });
  await assert.rejects(soon.task(id), { name: 'ConnectionError' });
  sick = false;
  let trials = 0;
  while ((await soon.task(id).catch((error) => error)) instanceof CircuitOpen) trials += 1; // closes by one that is answered
  for (const call of await Promise.allSettled([soon.task(id), soon.task(id)])) assert.equal(call.status, 'fulfilled', `${trials}`);

  const other = await fake(t, () => ({ status: 404, body: { code: 'not_found' } })); // an answer
  const fine = new Client({ url: other.url, circuit: { failures: 1 } });
  for (let i = 0; i < 3; i++) await assert.rejects(fine.task(id), ProblemError);
});

test('problems', async (t) => {
  const problem = { status: 422, code: 'validation_failed', detail: '/kind: needed', errors: [{ pointer: '/kind', detail: 'needed' }], request_id: 'R', task_id: id, state: 'running' };
  const { url } = await fake(t, (_, n) => [{ status: 422, body: problem }, { status: 502, body: '<html>' }, { status: 200, body: 'no JSON' }][n - 1]);
  const client = new Client({ url, retries: 0 });
  await assert.rejects(client.submit({}), (error) => {
    assert.ok(error instanceof ProblemError);
    assert.deepEqual([error.status, error.code, error.message, error.errors, error.requestId, error.taskId, error.state],
      [422, 'validation_failed', '/kind: needed', problem.errors, 'R', id, 'running']);
    return true;
  });
  await assert.rejects(client.task(id), { status: 502, code: 'unknown', message: '<html>' });
  await assert.rejects(client.task(id), { name: 'ConnectionError' });
});

test('the token stays out of messages', async (t) => {
  const { url } = await fake(t, () => undefined);
  const client = new Client({ url, token: 'very-secret', retries: 0 });
  await assert.rejects(client.task(id), (error) => !inspect(error, { depth: 9, showHidden: true }).includes('very-secret'));
  assert.ok(!inspect(client, { depth: 9, showHidden: true }).includes('very-secret'));
});

test('retries end, and obey Retry-After', async (t) => {
  const { url, requests } = await fake(t, (_, n) => (n === 1 ? { status: 429, body: {}, headers: { 'retry-after': '0' } } : { status: 503, body: {} }));
  await assert.rejects(new Client({ url, retries: 2 }).task(id), { status: 503 });
  assert.equal(requests.length, 3);
});

test('a wait that is too long for a caller is the caller\'s to decide', async (t) => {
  const { url, requests } = await fake(t, () => ({ status: 503, body: {}, headers: { 'retry-after': '30' } }));
  await assert.rejects(new Client({ url }).task(id), { status: 503, retryAfterMs: 30_000 });
  assert.equal(requests.length, 1);
});

test('what is no address says so, without its secrets', () => {
  for (const url of ['localhost:8080', 'ftp://x', 'jobs', 'htp://u:a-secret@x', '']) {
    assert.throws(() => new Client({ url }), (error) => /^url: /.test(error.message) && !error.message.includes('a-secret'), url);
  }
});

test('a signal ends a call, its own reason thrown', async (t) => {
  const stop = new AbortController();
  const { url } = await fake(t, () => {
    stop.abort(new Error('enough'));
    return 'later';
  });
  await assert.rejects(new Client({ url }).task(id, { signal: stop.signal }), { message: 'enough' });
  await assert.rejects(new Client({ url }).task(id, { signal: stop.signal }), { message: 'enough' });
});

test('a signal ends a wait between two tries, its own reason thrown', async (t) => {
  const stop = new AbortController();
  const { url } = await fake(t, () => {
    setTimeout(() => stop.abort(new Error('enough')), 200);
    return { status: 503, body: {}, headers: { 'retry-after': '5' } };
  });
  await assert.rejects(new Client({ url }).task(id, { signal: stop.signal }), { message: 'enough' });
  const again = new AbortController();
  const stream = await fake(t, ({ res }) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' }).end('retry: 5000\n\n');
    setTimeout(() => again.abort(new Error('enough')), 200);
    return 'later';
  });
  await assert.rejects(new Client({ url: stream.url }).watch(id, { signal: again.signal }).next(), { message: 'enough' });
});

test('an answer that never comes is an error', async (t) => {
  const { url } = await fake(t, () => 'later');
  await assert.rejects(new Client({ url, timeoutMs: 50, retries: 0 }).task(id), { name: 'ConnectionError', sent: true });
});

test('an address and a token that can not be sent are refused, and not shown', () => {
  for (const bad of [{ url: 'http://ann:a-secret@x' }, { url: 'http://x', token: 'a-secret\n' }]) {
    assert.throws(() => new Client(bad), (error) => error instanceof TypeError && !error.message.includes('a-secret'));
  }
});

test('wait asks until it is done, or time is over', async (t) => {
  const { url, requests } = await fake(t, (_, n) => ({ body: { id, done: n === 3 } }));
  assert.equal((await new Client({ url }).wait(id)).done, true);
  assert.deepEqual(requests.map((r) => r.headers.prefer), ['wait=30', 'wait=30', 'wait=30']);
  assert.equal((await new Client({ url }).wait(id, { timeoutMs: 0 })).done, false);
  assert.equal(requests[3].headers.prefer, undefined);
});

test('the other verbs', async (t) => {
  const { url, requests } = await fake(t, () => ({ body: { items: [1] } }));
  const client = new Client({ url });
  assert.deepEqual(await client.submitMany([{ kind: 'a' }]), [1]);
  assert.deepEqual(await client.submitMany([]), []);
  await client.cancel('a/b', { reason: 'no' });
  await client.retry(id);
  assert.deepEqual(await client.why(id), [1]);
  assert.deepEqual(await client.attempts(id), [1]);
  assert.deepEqual(await client.logs(id, { after: 5 }), [1]);
  await client.publish('order.paid/x', { order: 7 }, { idempotency_key: 'k' });
  assert.deepEqual(requests.map((r) => `${r.method} ${r.path} ${JSON.stringify(r.body)}`), [
    'POST /v1/tasks/batch [{"kind":"a"}]', 'POST /v1/tasks/a%2Fb/cancel {"reason":"no"}', `POST /v1/tasks/${id}/retry {}`,
    `GET /v1/tasks/${id}/why undefined`, `GET /v1/tasks/${id}/attempts undefined`, `GET /v1/tasks/${id}/logs?after=5&limit=200 undefined`,
    'POST /v1/topics/order.paid%2Fx/publish {"payload":{"order":7},"idempotency_key":"k"}']);
  for (const bad of [undefined, '', 7]) await assert.rejects(client.task(bad), TypeError);
  assert.throws(() => new Client({ url: '' }), TypeError);
  assert.throws(() => new Client({ url: 'no url' }), TypeError);
});

test('watch goes on where the stream broke off', async (t) => {
  const event = (name, cursor, data) => `event: ${name}\nid: ${cursor}\ndata: ${JSON.stringify(data)}\n\n`;
  const { url, requests } = await fake(t, ({ res }, n) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    if (n === 1) {
      const text = Buffer.from(`retry: 1\n\n: hb\n\n${event('task', 3, { state: 'žluť' })}${event('log', '3.1', { message: 'half' })}`);
      for (const byte of text) res.write(Buffer.from([byte])); // in the worst of pieces
      setImmediate(() => res.socket.destroy());
    } else res.end(event('task', '4.1', { state: 'completed' }) + event('end', '4.1', {}));
    return 'later';
  });
  const seen = [];
  for await (const change of new Client({ url }).watch(id, { after: '2' })) seen.push(change);
  assert.deepEqual(seen, [{ event: 'task', id: '3', data: { state: 'žluť' } }, { event: 'log', id: '3.1', data: { message: 'half' } },
    { event: 'task', id: '4.1', data: { state: 'completed' } }]);
  assert.deepEqual(requests.map((r) => r.headers['last-event-id']), ['2', '3.1']);
});

test('watch ends on 204, throws problems, and may be left', async (t) => {
  const { url, requests } = await fake(t, ({ res }, n) => {
    if (n === 1) return { status: 204 };
    if (n === 2) return { status: 404, body: { code: 'not_found' } };
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.write('event: task\nid: 1\ndata: {}\n\n');
    return 'later';
  });
  const client = new Client({ url });
  for await (const change of client.watch(id)) assert.fail(change);
  await assert.rejects(client.watch(id).next(), { code: 'not_found' });
  for await (const change of client.watch([id, 'b'], { logs: false })) {
    assert.equal(change.event, 'task');
    break;
  }
  assert.equal(requests[2].path, `/v1/events?task=${id}&task=b&logs=false`);
});
