import assert from 'node:assert/strict';
import test from 'node:test';
import { Task, perform } from '../attempt.js';
import { deferred, make, noting, outcomes, serverOf, task } from './fake.js';

delete process.env.SCHEDULER_FD;

test('what is said goes with the outcome', async (t) => {
  const { url, requests } = await serverOf(t, [task(1)]);
  const worker = make(url);
  worker.handle('x', (it) => {
    for (let i = 0; i < 2500; i++) it.log(`line ${i} \0 \ud800`);
    it.progress(1.4, 3, 'half', { k: 1 });
    worker.stop();
  });
  await worker.run();
  const said = outcomes(requests);
  assert.deepEqual(said.map((it) => [it.op, it.logs?.length]), [['heartbeat', 1000], ['heartbeat', 1000], ['complete', 500]]);
  assert.equal(said[0].logs[0].message, 'line 0 \ufffd \ufffd');
  assert.deepEqual(said[0].progress, { current: 1, total: 3, message: 'half', data: { k: 1 } });
  assert.equal(said[2].result, null);
});

test('a bad item does not spoil the others, and a bad result fails for good', async (t) => {
  const { url, requests } = await serverOf(t, [task(1), task(2)], ({ path, body }) => {
    if (path === '/v1/leases/batch') return { status: 422, body: { code: 'validation_failed' } };
    if (path === '/v1/leases/l1/complete') return { status: 422, body: { code: 'validation_failed', detail: 'too large' } };
    return body === undefined && undefined;
  });
  const worker = make(url, { concurrency: 2 });
  let left = 2;
  worker.handle('x', (it) => {
    if (--left === 0) worker.stop();
    return it.payload;
  });
  await worker.run();
  const alone = outcomes(requests.filter((r) => r.path !== '/v1/leases/batch'));
  assert.deepEqual(alone.map(({ lease, op, error, retryable }) => [lease, op, error?.code, retryable]).sort(),
    [['l1', 'complete', undefined, undefined], ['l1', 'fail', 'bad_result', false], ['l2', 'complete', undefined, undefined]]);
});

test('an item that can not be served now is sent again, and holds up no other', async (t) => {
  const first = deferred();
  let others = 0; // outcomes of l2 that the server took
  const busy = { status: 503, code: 'database_unavailable' };
  const { url, requests } = await serverOf(t, [task(1), task(2)], ({ path, body }) => {
    if (path === '/v1/leases/l2/complete') others++;
    if (path === '/v1/leases/batch') return { body: { results: body.items.map(({ lease }) => (lease === 'l2' ? { status: 200, state: `completed ${++others}` } : busy)) } };
    if (path !== '/v1/leases/l1/complete' || others > 0) return undefined;
    first.resolve();
    return { status: 503, body: busy };
  });
  const worker = make(url, { concurrency: 2 });
  worker.handle('x', async (it) => {
    if (it.payload === 2) {
      await first.promise;
      worker.stop();
    }
  });
  await worker.run();
  const said = outcomes(requests);
  assert.deepEqual([others, said.at(-1).lease], [1, 'l1']);
  assert.ok(said.every(({ op }) => op === 'complete'), JSON.stringify(said));
});

test('an answer that is neither yes nor no throws no work away', async (t) => {
  let asked = 0;
  const { url, requests } = await serverOf(t, [task(1)], ({ path }) => (path.endsWith('/complete') && ++asked < 3 ? { status: [404, 500][asked - 1], body: '<html>' } : undefined));
  const worker = make(url);
  worker.handle('x', (it) => {
    it.log('a line');
    worker.stop();
    return 'done';
  });
  await worker.run();
  assert.deepEqual(outcomes(requests), Array(3).fill({ lease: 'l1', op: 'complete', result: 'done', logs: [{ message: 'a line' }] }));
});

test('an outcome that no server takes within the time of a lease is a failure, to be tried again', async (t) => {
  const { url, requests } = await serverOf(t, [task(1)], ({ path }) => (path.endsWith('/complete') ? { status: 500, body: { code: 'internal', detail: 'a bug' } } : undefined));
  const worker = make(url, { ttlMs: 5000 });
  worker.handle('x', () => worker.stop());
  await worker.run();
  const { op, error, retryable } = outcomes(requests).at(-1);
  assert.deepEqual([op, error.code, error.message, retryable], ['fail', 'not_stored', 'a bug', true]);
});

test('lines that could not be reported go with the outcome', async (t) => {
  const asked = deferred();
  const { url, requests } = await serverOf(t, [task(1)], ({ path }) => {
    if (!path.endsWith('/heartbeat')) return undefined;
    asked.resolve();
    return { status: 500, body: '<html>' };
  });
  const worker = make(url);
  worker.handle('x', async (it) => {
    it.progress(1, 2);
    it.log('one');
    await asked.promise;
    it.log('two');
    worker.stop();
  });
  await worker.run();
  assert.deepEqual(outcomes(requests).map(({ op, progress, logs }) => [op, progress.current, logs.map((it) => it.message)]), [['heartbeat', 1, ['one']], ['complete', 1, ['one', 'two']]]);
});

test('what of a report is said again comes before the outcome', async (t) => {
  const ended = deferred();
  const { url, requests } = await serverOf(t, [task(1)], async ({ path, body }) => {
    if (!path.endsWith('/heartbeat') || body.progress === undefined) return undefined;
    await ended.promise;
    return { status: 422, body: { code: 'validation_failed' } };
  });
  const worker = make(url);
  worker.handle('x', async (it) => {
    it.progress(1, 2, 'too large');
    it.log('a line');
    while (outcomes(requests).length === 0) await new Promise(setImmediate);
    setTimeout(ended.resolve, 100); // by then the outcome is known
    worker.stop();
  });
  await worker.run();
  assert.deepEqual(outcomes(requests).map(({ op, progress, logs }) => [op, progress?.current, logs?.length]), [['heartbeat', 1, 1], ['heartbeat', undefined, 1], ['complete', undefined, undefined]]);
});

test('what a handler does with its grace is delivered', async (t) => {
  const long = [];
  const real = setTimeout;
  t.mock.method(globalThis, 'setTimeout', (call, ms, ...more) => {
    if (!(ms >= 10_000)) return real(call, ms, ...more);
    long.push({ call, ms });
    return real(() => {}, 0);
  });
  const { url, requests } = await serverOf(t, [task(1)]);
  const worker = make(url, { drainTimeoutMs: 1, graceMs: 60_000 });
  worker.handle('x', async (it) => {
    worker.stop();
    while (!it.signal.aborted) await new Promise(setImmediate);
    for (const { call, ms } of long) if (ms < 30_000) call(); // so long it takes
    return 'done';
  });
  await worker.run();
  assert.deepEqual(outcomes(requests), [{ lease: 'l1', op: 'complete', result: 'done' }]);
});

test('a task that has ended leaves no timer behind, whatever it is told', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((it) => it === 'Timeout').length;
  const before = timers();
  const its = new Task(task(1).task, {});
  await perform(its, () => {}, { alone: true, graceMs: 60_000 }).over;
  Task.stop(its, 'cancelled');
  assert.equal(timers(), before);
});

test('what is no JSON fails for good', async (t) => {
  const { url, requests } = await serverOf(t, [task(1), task(2), task(3)]);
  const worker = make(url, { concurrency: 3 });
  const circle = {};
  circle.circle = circle;
  const results = [1n, circle, () => {}];
  worker.handle('x', (it) => {
    if (it.payload === 3) worker.stop();
    return results[it.payload - 1];
  });
  await worker.run();
  assert.deepEqual(outcomes(requests).map(({ op, error, retryable }) => [op, error?.code, retryable]), Array(3).fill(['fail', 'bad_result', false]));
});

test('what the server does not take is left out', async (t) => {
  const large = ({ body }) => JSON.stringify(body ?? '').includes('too large');
  const { url, requests } = await serverOf(t, [task(1)], (it) => (large(it) ? { status: 422, body: { code: 'validation_failed' } } : undefined));
  const worker = make(url);
  worker.handle('x', async (it) => {
    assert.throws(() => it.progress(1, 2, 'half', { n: 1n }), TypeError); // what is no JSON never leaves
    await assert.rejects(it.saveCheckpoint(1n), TypeError);
    it.log('a line');
    await assert.rejects(it.saveCheckpoint('too large'), { code: 'validation_failed' });
    it.progress(1, 2, 'half', 'too large');
    worker.stop();
    return 'well done';
  });
  await worker.run();
  assert.deepEqual(outcomes(requests.filter((it) => !large(it))), [{ lease: 'l1', op: 'complete', result: 'well done', logs: [{ message: 'a line' }] }]);
});

test('a progress that is not taken holds up nothing, whatever comes behind it', async (t) => {
  let its;
  const { url, requests } = await serverOf(t, [task(1)], ({ body }) => {
    if (body?.progress === undefined) return undefined;
    if (requests.length < 50) its.progress(1, 2, 'too large as well');
    return { status: 422, body: { code: 'validation_failed' } };
  });
  const worker = make(url);
  worker.handle('x', async (it) => {
    (its = it).progress(1, 2, 'too large');
    await it.saveCheckpoint('here');
    worker.stop();
  });
  await worker.run();
  assert.deepEqual(outcomes(requests).filter((it) => 'checkpoint' in it).map(({ progress }) => progress?.message), ['too large', undefined]);
});

test('what was said outlives a result that is refused, unless it is at fault', async (t) => {
  const { url, requests } = await serverOf(t, [task(1), task(2)], ({ path, body }) => (path.endsWith('/complete') || JSON.stringify(body ?? '').includes('too long') ? { status: 422, body: {} } : undefined));
  const worker = make(url);
  worker.handle('x', (it) => {
    it.log(it.payload === 1 ? 'a line' : 'a line that is too long');
    if (it.payload === 2) worker.stop();
  });
  await worker.run();
  const said = outcomes(requests).map(({ lease, op, logs }) => [lease, op, logs?.length]);
  assert.deepEqual(said, [['l1', 'complete', 1], ['l1', 'fail', 1], ['l2', 'complete', 1], ['l2', 'fail', 1], ['l2', 'fail', undefined]]);
});

test('what can not be sent fails for good', async (t) => {
  const { url, requests } = await serverOf(t, [task(1)]);
  const worker = make(url);
  worker.handle('x', (it) => {
    const data = {};
    it.progress(1, 2, 'half', data);
    data.later = 1n;
    worker.stop();
  });
  await worker.run();
  assert.deepEqual(outcomes(requests).map(({ op, error }) => [op, error?.code]), [['fail', 'bad_result']]);
});

test('a late outcome is refused, said once, and the slot is free', async (t) => {
  const { url, requests } = await serverOf(t, [task(1), task(2)], ({ path }) => (path === '/v1/leases/l1/complete' ? { status: 409, body: { code: 'lease_lost', detail: 'over' } } : undefined));
  const logger = noting();
  const worker = make(url, { logger });
  worker.handle('x', (it) => it.payload === 2 && worker.stop());
  await worker.run();
  assert.deepEqual(outcomes(requests).map(({ lease, op }) => [lease, op]), [['l1', 'complete'], ['l2', 'complete']]);
  assert.deepEqual(logger.lines, ['end task t1: over']);
});
