import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fake } from './fake.js';

const program = `
import { spawn } from 'node:child_process';
import { PermanentError, RetryAfter, Snooze, Worker } from '${new URL('../index.js', import.meta.url)}';
if (process.env.BROKEN && process.env.SCHEDULER_FD) throw new Error('can not come up');
const worker = new Worker({ isolate: true, graceMs: 50, concurrency: Number(process.env.CONCURRENCY ?? 1) });
worker.handle('x', async (task) => {
  console.log('prints ' + task.payload);
  if (task.payload === 'spin') for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); // hears nothing, as any loop
  if (task.payload === 'die') {
    console.error('last words');
    spawn('sleep', ['60'], { stdio: 'inherit', detached: true }); // holds its output open
    process.kill(process.pid, 'SIGKILL');
  }
  if (task.payload === 'refuse') throw new PermanentError('no', { code: 'bad' });
  if (task.payload === 'later') throw new RetryAfter(5, 'busy');
  if (task.payload === 'snooze') throw new Snooze(7, 'not yet');
  task.progress(1, 2, 'half');
  await task.saveCheckpoint({ step: 1 });
  return [task.payload, task.checkpoint, 'x'.repeat(200_000)];
});
await worker.run();
`;

/** Runs the program until it has no more to do. */
async function work(t, payloads, env = {}) {
  const given = payloads.map((payload, i) => ({ lease: `l${i}`, task: { id: `t${i}`, kind: 'x', payload, attempt: 1, timeout_ms: payload === 'spin' ? 5000 : null, checkpoint: null } }));
  const { url, requests } = await fake(t, ({ method, path, body }) => {
    if (method === 'DELETE') return { status: 204 };
    if (path === '/v1/leases') {
      const leases = given.splice(0, body.max);
      return { body: { worker: { state: leases.length > 0 ? 'run' : 'stop' }, leases } };
    }
    if (path === '/v1/leases/batch') return { body: { results: body.items.map(() => ({ status: 200, state: 'x' })) } };
    return { body: { state: 'run', cancelled: false, lost: [] } };
  });
  const dir = await mkdtemp(join(tmpdir(), 'isolate-'));
  t.after(() => rm(dir, { recursive: true }));
  await writeFile(join(dir, 'worker.mjs'), program);
  const child = spawn(process.execPath, [join(dir, 'worker.mjs')], { env: { ...process.env, SCHEDULER_URL: url, ...env }, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text) => (said += text));
  const [code] = await once(child, 'close');
  const ended = {}, lines = {};
  for (const { path, body } of requests) {
    const items = path === '/v1/leases/batch' ? body.items : [{ lease: path.split('/')[3], op: path.split('/')[4], ...body }];
    for (const { lease, op, ...fields } of path.startsWith('/v1/leases/') ? items : []) {
      (lines[lease] ??= []).push(...(fields.logs ?? []).map((line) => line.message));
      if (op !== 'heartbeat') (ended[lease] ??= []).push({ op, ...fields });
    }
  }
  return { code, said, ended, lines };
}

test('how attempts in processes of their own end', async (t) => {
  const { code, said, ended, lines } = await work(t, ['spin', 'die', 'refuse', 'later', 'snooze', 'well']);
  assert.equal(code, 0, said);
  assert.deepEqual(Object.values(ended).map((all) => all.map((it) => [it.op, it.error?.code, it.retryable, it.retry_after_ms ?? it.delay_ms])), [
    [['fail', 'timeout', true, undefined]], [['fail', 'worker_crashed', true, undefined]], [['fail', 'bad', false, undefined]],
    [['fail', 'retry_after', true, 5]], [['release', undefined, undefined, 7]], [['complete', undefined, undefined, undefined]],
  ]);
  assert.deepEqual(ended.l5[0].result, ['well', { step: 1 }, 'x'.repeat(200_000)]);
  assert.match(ended.l1[0].error.message, /last words/);
  assert.deepEqual(Object.values(lines).map((it) => it[0]), ['spin', 'die', 'refuse', 'later', 'snooze', 'well'].map((it) => `prints ${it}`));
  assert.doesNotMatch(said, /deaf/);
});

test('no task outlives a worker that is killed', async (t) => {
  const given = [{ lease: 'l1', task: { id: 't1', kind: 'x', payload: 'spin', attempt: 1, timeout_ms: null, checkpoint: null } }];
  let found;
  const child = new Promise((resolve) => (found = resolve));
  const { url } = await fake(t, ({ path, body }) => {
    if (path === '/v1/leases') return given.length > 0 ? { body: { worker: { state: 'run' }, leases: given.splice(0) } } : 'later';
    for (const { message } of body.logs ?? []) found(Number(message));
    return { body: { state: 'run', cancelled: false, lost: [] } };
  });
  const dir = await mkdtemp(join(tmpdir(), 'isolate-'));
  t.after(() => rm(dir, { recursive: true }));
  await writeFile(join(dir, 'worker.mjs'), program.replace("'prints ' + task.payload", 'String(process.pid)'));
  const worker = spawn(process.execPath, [join(dir, 'worker.mjs')], { env: { ...process.env, SCHEDULER_URL: url }, stdio: 'ignore' });
  const pid = await child;
  worker.kill('SIGKILL');
  await once(worker, 'exit');
  const alive = () => {
    try {
      return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1][0] !== 'Z'; // nobody here waits for orphans
    } catch {
      return false;
    }
  };
  while (alive()) await new Promise(setImmediate);
});

test('several at once', async (t) => {
  const { code, said, ended } = await work(t, ['a', 'spin', 'b', 'c', 'spin', 'd'], { CONCURRENCY: '3' });
  assert.deepEqual([code, Object.values(ended).map(([{ op }]) => op).sort()], [0, ['complete', 'complete', 'complete', 'complete', 'fail', 'fail']], said);
});

test('a program that does not come up takes no task', async (t) => {
  const { code, said, ended } = await work(t, ['a'], { BROKEN: '1' });
  assert.deepEqual([code, ended], [1, {}]);
  assert.match(said, /can not come up/);
});
