import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'node:test';
import { Task, perform } from '../attempt.js';
import { Worker } from '../index.js';
import { deferred, fake, noting, quiet } from './fake.js';

delete process.env.SCHEDULER_FD;

const task = (n, more = {}) => ({ lease: `l${n}`, expires_at: '2030-01-01T00:00:00Z', task: { id: `t${n}`, kind: 'x', payload: n, attempt: 1, timeout_ms: null, checkpoint: null, ...more } });

/** A server with leases to give; it hands on what is said about them. */
async function serverOf(t, given, say = () => undefined) {
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

const make = (url, more) => new Worker({ url, signals: false, logger: quiet, ...more });
const outcomes = (requests) => requests.flatMap(({ path, body }) => {
  if (path === '/v1/leases/batch') return body.items;
  const [, lease, op] = /^\/v1\/leases\/(l\d+)\/(\w+)$/.exec(path) ?? [];
  return lease ? [{ lease, op, ...body }] : [];
});

test('many at once share requests, each ends once', async (t) => {
  const { url, requests, polls } = await serverOf(t, Array.from({ length: 40 }, (_, i) => task(i)));
  const worker = make(url, { concurrency: 20 });
  let running = 0, most = 0, left = 40;
  worker.handle('x', async (it) => {
    most = Math.max(most, ++running);
    await new Promise(setImmediate);
    running--;
    if (--left === 0) worker.stop();
    return it.payload;
  });
  await worker.run();
  assert.ok(most > 1 && most <= 20, `${most} at once`);
  const ended = outcomes(requests);
  assert.deepEqual(ended.map((it) => it.result).sort((a, b) => a - b), Array.from({ length: 40 }, (_, i) => i));
  assert.ok(requests.some((r) => r.path === '/v1/leases/batch'));
  assert.deepEqual(polls[0].held, []);
  assert.deepEqual([polls[0].max, polls[0].kinds, polls[0].queues, polls[0].worker.slots], [20, ['x'], ['default'], 20]);
  assert.match(polls[0].worker.id, /^[0-9a-f]{8}-/);
  assert.equal(requests.at(-1).method, 'DELETE');
});

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

test('a heartbeat that is sent again names what was taken meanwhile', async (t) => {
  const waits = deferred(), second = deferred(), beaten = deferred();
  const beats = [];
  const { url } = await serverOf(t, [task(1)], async ({ path, body, res }) => {
    if (path === '/v1/leases' && body.held.length === 1) {
      waits.resolve(res);
      return 'later';
    }
    if (!path.startsWith('/v1/workers/') || body === undefined) return undefined;
    if (beats.push(body.leases) > 1) return beaten.resolve();
    (await waits.promise).writeHead(200).end(JSON.stringify({ worker: { state: 'run' }, leases: [task(2)] }));
    await second.promise;
    return { status: 503, body: {} };
  });
  const worker = make(url, { concurrency: 2, ttlMs: 5000 });
  worker.handle('x', async (it) => {
    if (it.payload === 2) second.resolve();
    await beaten.promise;
    worker.stop();
  });
  await worker.run();
  assert.deepEqual(beats.slice(0, 2), [['l1'], ['l1', 'l2']]);
});

test('a poll lasts no longer than leases may go without a heartbeat', async (t) => {
  for (const [ttlMs, wait] of [[5000, 'wait=2'], [60_000, 'wait=20']]) {
    const { url, requests } = await fake(t, ({ method }) => (method === 'DELETE' ? { status: 204 } : { body: { worker: { state: 'stop' }, leases: [] } }));
    await make(url, { ttlMs }).handle('x', () => {}).run();
    assert.equal(requests[0].headers.prefer, wait);
  }
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

test('a lost lease stops its task and nothing more is said of it', async (t) => {
  const lost = deferred();
  const { url, requests } = await serverOf(t, [task(1)], ({ path }) => {
    if (path.endsWith('/heartbeat') && path.startsWith('/v1/leases/')) return { status: 409, body: { code: 'lease_lost' } };
    return undefined;
  });
  const worker = make(url);
  worker.handle('x', async (it) => {
    it.progress(1);
    it.signal.addEventListener('abort', () => lost.resolve(it.signal.reason.code));
    await assert.rejects(it.saveCheckpoint({ step: 1 }), { code: 'lost' });
    worker.stop();
    return 'too late';
  });
  await worker.run();
  assert.equal(await lost.promise, 'lost');
  assert.ok(outcomes(requests).every((it) => it.op === 'heartbeat'));
});

test('a second signal hands back what runs', async (t) => {
  const { url, requests } = await serverOf(t, [task(1)]);
  const worker = make(url, { signals: true });
  worker.handle('x', (it) => new Promise((_, reject) => {
    it.signal.addEventListener('abort', () => reject(it.signal.reason));
    process.emit('SIGTERM');
    process.emit('SIGTERM');
  }));
  await worker.run();
  assert.deepEqual(outcomes(requests), [{ lease: 'l1', op: 'release', reason: 'shutdown' }]);
  assert.equal(process.listenerCount('SIGTERM'), 0);
});

test('a timeout ends with its code', async (t) => {
  const { url, requests } = await serverOf(t, [task(1, { timeout_ms: 5 })]);
  const worker = make(url);
  worker.handle('x', async (it) => {
    await new Promise((resolve) => it.signal.addEventListener('abort', resolve));
    worker.stop();
    throw new Error('as told');
  });
  await worker.run();
  const [{ op, error, retryable }] = outcomes(requests);
  assert.deepEqual([op, error.code, error.message, retryable], ['fail', 'timeout', 'as told', true]);
});

test('a refusal ends the worker with its problem', async (t) => {
  const { url } = await fake(t, () => ({ status: 401, body: { code: 'unauthorized' } }));
  const worker = make(url).handle('x', () => {});
  await assert.rejects(worker.run(), { code: 'unauthorized' });
});

test('a call for tasks that fails is tried again, and people are told', async (t) => {
  const answers = [
    undefined, { status: 404, body: '<html>' }, { status: 429, body: {}, headers: { 'retry-after': '1' } }, { status: 200, body: 'null' },
    { body: { hello: 'world' } }, { body: { worker: { state: 'stop' }, leases: [] } },
  ];
  const { url, requests } = await fake(t, ({ method }, n) => (method === 'DELETE' ? { status: 204 } : answers[n - 1]));
  const logger = noting();
  await make(url, { logger }).handle('x', () => {}).run();
  assert.deepEqual(requests.map((r) => r.method), [...Array(6).fill('POST'), 'DELETE']);
  assert.equal(logger.lines.length, 5, logger.lines.join('\n'));
  assert.match(logger.lines[1], /^lease: http.* says: <html>; trying again$/);
  assert.match(logger.lines[3], /^lease: what answers at http.* is no scheduler; trying again$/);
  assert.equal(logger.lines[4], 'lease: the server answers again');
});

test('a redirect ends the worker with the address', async (t) => {
  const { url } = await fake(t, () => ({ status: 301, body: '', headers: { location: 'https://u:secret@jobs.example.org/v1/leases' } }));
  await assert.rejects(make(url).handle('x', () => {}).run(), (error) => error.code === 'redirected' && /jobs\.example\.org/.test(error.message) && !/secret/.test(error.message));
});

test('answers of another server to what is said end nothing', async (t) => {
  const { url, requests } = await serverOf(t, [task(1), task(2), task(3)], ({ path }) => (path.startsWith('/v1/leases/') ? { body: 'null' } : undefined));
  const logger = noting();
  const worker = make(url, { concurrency: 3, logger });
  let left = 3;
  worker.handle('x', async (it) => {
    it.log('a line');
    await assert.rejects(it.saveCheckpoint(1), { code: 'no_answer' });
    if (--left === 0) worker.stop();
  });
  await worker.run();
  assert.equal(requests.at(-1).method, 'DELETE');
  assert.ok(logger.lines.some((line) => /end task .*is no scheduler/.test(line)), logger.lines.join('\n'));
});

test('a deaf handler is counted, the others go on, and its late result is refused', async (t) => {
  const { url, requests } = await serverOf(t, [task(1, { timeout_ms: 1 }), task(2), task(3)]);
  const logger = noting();
  const worker = make(url, { concurrency: 2, graceMs: 1, logger });
  const deaf = deferred(), seen = [];
  worker.handle('x', async (it) => {
    if (it.payload === 1) return deaf.promise;
    seen.push(worker.deaf);
    while (it.payload === 3 && worker.deaf === 0) await new Promise(setImmediate);
    if (it.payload === 3) {
      deaf.resolve('too late');
      while (worker.deaf > 0) await new Promise(setImmediate);
      worker.stop();
    }
    return 'in time';
  });
  await worker.run();
  assert.deepEqual(outcomes(requests).map(({ lease, op, error }) => [lease, op, error?.code]).sort(), [['l1', 'fail', 'timeout'], ['l2', 'complete', undefined], ['l3', 'complete', undefined]]);
  assert.match(logger.lines[0], /^deaf: the handler of task t1 \(x\) goes on although it was told to stop \(timeout\); .*; 1 of 2 slots are lost so$/);
  assert.match(logger.lines[1], /^deaf: the handler of task t1 \(x\) has ended at last$/);
});

test('when all handlers are deaf the worker ends, so that a new process can come', async (t) => {
  const { url, requests } = await serverOf(t, [task(1, { timeout_ms: 1 }), task(2, { timeout_ms: 1 })]);
  const worker = make(url, { concurrency: 2, graceMs: 1 });
  worker.handle('x', () => new Promise(() => {}));
  await assert.rejects(worker.run(), { code: 'all_deaf' });
  assert.deepEqual(outcomes(requests).map(({ op, error }) => [op, error.code]), [['fail', 'timeout'], ['fail', 'timeout']]);
  assert.deepEqual([requests.at(-1).method, worker.deaf], ['DELETE', 2]);
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

test('fields of a later server hide no method', async (t) => {
  const { url, requests } = await serverOf(t, [task(1, { progress: 'p', log: 'l', signal: 's', saveCheckpoint: 1, more: 'm' })]);
  const worker = make(url);
  worker.handle('x', (it) => {
    it.progress(1);
    it.log('line');
    worker.stop();
    return [it.more, it.signal.aborted];
  });
  await worker.run();
  assert.deepEqual(outcomes(requests)[0].result, ['m', false]);
});

test('an output that nobody reads any more ends nothing', async (t) => {
  const { url, requests, stop } = await serverOf(t, [task(1), task(2), task(3)]);
  const program = spawn(process.execPath, ['--input-type=module', '-e', `
    import { Worker } from '${new URL('../index.js', import.meta.url)}';
    const worker = new Worker().handle('x', async (it) => {
      console.log('to nobody'); console.error('to nobody');
      await new Promise(setImmediate);
      if (it.payload === 3) worker.stop();
    });
    await worker.run();
    console.log('to nobody');`], { env: { ...process.env, SCHEDULER_URL: url }, stdio: ['ignore', 'pipe', 'pipe'] });
  program.stdout.destroy();
  program.stderr.destroy();
  const [code] = await once(program, 'exit');
  stop();
  assert.deepEqual([code, outcomes(requests).map(({ op }) => op)], [0, ['complete', 'complete', 'complete']]);
});

test('stop of the server', async (t) => {
  const { url, requests } = await fake(t, ({ method }) => (method === 'DELETE' ? { status: 204 } : { body: { worker: { state: 'stop' }, leases: [] } }));
  await make(url).handle('x', () => {}).run();
  assert.deepEqual(requests.map((r) => r.method), ['POST', 'DELETE']);
});

test('bad options', async () => {
  for (const bad of [{ concurrency: 0 }, { concurrency: 1.5 }, { ttlMs: 100 }, { queues: [] }, { queues: 'mail' }, { graceMs: -1 }]) {
    assert.throws(() => new Worker({ url: 'http://x', ...bad }));
  }
  const worker = new Worker({ url: 'http://x' });
  await assert.rejects(worker.run(), /no handlers/);
  assert.throws(() => worker.handle('x', 'no function'), TypeError);
  worker.handle('x', () => {});
  assert.throws(() => worker.handle('x', () => {}), TypeError);
});
