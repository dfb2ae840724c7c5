import assert from 'node:assert/strict';
import test from 'node:test';
import { Client, PermanentError, ProblemError, RetryAfter, Snooze } from '../index.js';
import { fake } from './fake.js';

test('a lease is ended as a handler would end it', async (t) => {
  const { url, requests } = await fake(t, ({ path }) => ({ status: 200, body: path.endsWith('heartbeat') ? { state: 'run', cancelled: true, expires_at: 'x' } : { state: 'completed' } }));
  const lease = new Client({ url, token: 'secret' }).lease('AQ/1');
  assert.deepEqual(await lease.heartbeat({ progress: { current: 1 }, logs: ['a'], checkpoint: null }), { cancelled: true, expires_at: 'x' });
  assert.equal(await lease.complete({ sent: 3 }), 'completed');
  await lease.complete();
  await lease.fail(new PermanentError('never', { code: 'bad' }));
  await lease.fail(new RetryAfter(5, 'later'));
  await lease.fail(new Snooze(7, 'not at night'));
  await lease.fail('a text');
  await lease.release();
  await lease.release({ delayMs: 1.4, reason: 'busy' });
  const said = requests.map(({ path, body }) => [path.slice('/v1/leases/AQ%2F1/'.length), body]);
  for (const [, body] of said) if (body.error) delete body.error.stack;
  assert.deepEqual(said, [
    ['heartbeat', { progress: { current: 1 }, logs: ['a'], checkpoint: null }],
    ['complete', { result: { sent: 3 } }],
    ['complete', { result: null }],
    ['fail', { error: { code: 'bad', message: 'never' }, retryable: false }],
    ['fail', { error: { code: 'retry_after', message: 'later' }, retryable: true, retry_after_ms: 5 }],
    ['release', { delay_ms: 7, reason: 'not at night' }],
    ['fail', { error: { code: 'error', message: 'a text' }, retryable: true }],
    ['release', {}],
    ['release', { delay_ms: 1, reason: 'busy' }],
  ]);
  assert.ok(requests.every(({ headers }) => headers.authorization === 'Bearer secret'));
  for (const bad of ['', undefined, null]) assert.throws(() => new Client({ url }).lease(bad), TypeError);
});

test('a lost answer is asked for again, a lost lease is said', async (t) => {
  const { url } = await fake(t, (_, n) => (n === 1 ? undefined : n === 2 ? { status: 200, body: { state: 'completed' } } : { status: 409, body: { code: 'lease_lost' } }));
  const lease = new Client({ url }).lease('AQ');
  assert.equal(await lease.complete(), 'completed');
  await assert.rejects(lease.complete(), (error) => error instanceof ProblemError && error.code === 'lease_lost');
});

test('publish passes the id and the trace of the request on, and is repeated then', async (t) => {
  const { url, requests } = await fake(t, (_, n) => (n === 1 ? undefined : { status: 202, body: { id: '1' } }));
  assert.equal((await new Client({ url }).publish('order.paid', null, { requestId: 'r-1', traceparent: '00-x' })).id, '1');
  assert.deepEqual(requests.map(({ headers, body }) => [headers['x-request-id'], headers.traceparent, body]), [['r-1', '00-x', { payload: null }], ['r-1', '00-x', { payload: null }]]);
});

test('call is any call', async (t) => {
  const { url, requests } = await fake(t, (_, n) => (n === 1 ? undefined : { status: 200, body: { n } }));
  const client = new Client({ url, token: 'secret' });
  assert.deepEqual(await client.call('GET', '/v1/queues'), { n: 2 });
  assert.deepEqual(await client.call('POST', '/v1/topics/a/publish', { body: { payload: 1 }, headers: { 'x-request-id': 'r' } }), { n: 3 });
  assert.deepEqual(requests.slice(1).map(({ method, path, body, headers }) => [method, path, body, headers['x-request-id'], headers.authorization]),
    [['GET', '/v1/queues', undefined, undefined, 'Bearer secret'], ['POST', '/v1/topics/a/publish', { payload: 1 }, 'r', 'Bearer secret']]);
});

test('what JSON has no form for is the caller\'s fault, and not sent', async (t) => {
  const { url, requests } = await fake(t, () => ({ status: 200, body: { id: 'x' } }));
  const client = new Client({ url, circuit: { failures: 1 } });
  const loop = {};
  loop.loop = loop;
  for (const payload of [10n, loop]) {
    await assert.rejects(client.submit({ kind: 'x', payload, idempotency_key: 'k' }), (error) => error instanceof TypeError && error.code !== 'no_answer');
  }
  assert.equal((await client.submit({ kind: 'x' })).id, 'x'); // the circuit is as it was
  assert.equal(requests.length, 1);
});

test('who can not be reached is named', async () => {
  await assert.rejects(new Client({ url: 'http://127.0.0.1:9/below', retries: 0 }).task('x'), /GET http:\/\/127\.0\.0\.1:9\/below\/v1\/tasks\/x: /);
});
