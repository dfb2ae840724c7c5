import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'node:test';
import { Worker } from '../index.js';
import { deferred, fake, make, noting, outcomes, serverOf, task } from './fake.js';

delete process.env.SCHEDULER_FD;

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
