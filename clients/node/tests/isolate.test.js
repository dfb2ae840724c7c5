import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fake } from './fake.js';

const program = `
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { PermanentError, RetryAfter, Snooze, Worker } from '${new URL('../index.js', import.meta.url)}';
if (process.env.BROKEN && process.env.SCHEDULER_FD) throw new Error('can not come up');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
if (process.env.GATE && process.env.SCHEDULER_FD) { // the second one comes up once it is open, or never
  const nth = [1, 2, 3].find((n) => {
    try {
      return writeFileSync(process.env.GATE + n, '', { flag: 'wx' }) === undefined;
    } catch {
      return false;
    }
  });
  if (nth === 2 && process.env.BRITTLE) throw new Error('can not come up this time');
  while (nth === 2 && !existsSync(process.env.GATE)) await sleep(5);
}
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
  if (task.payload === 'pid') return process.pid;
  if (task.payload === 'stop') worker.stop(); // this process, after this task
  task.progress(1, 2, 'half');
  await task.saveCheckpoint({ step: 1 });
  return [task.payload, task.checkpoint, 'x'.repeat(200_000)];
});
await worker.run();
if (process.env.LINGER && process.env.SCHEDULER_FD) await sleep(1000);
`;

const limits = { spin: 5000, brief: 50 };

/** Runs the program until it has no more to do. ends is called before the server takes an outcome. */
async function work(t, payloads, env = {}, ends = () => {}) {
  const given = payloads.map((payload, i) => ({ lease: `l${i}`, task: { id: `t${i}`, kind: 'x', payload, attempt: 1, timeout_ms: limits[payload] ?? null, checkpoint: null } }));
  const { url, requests } = await fake(t, ({ method, path, body }) => {
    if (method === 'DELETE') return { status: 204 };
    if (path === '/v1/leases') {
      const leases = given.splice(0, body.max);
      return { body: { worker: { state: leases.length > 0 ? 'run' : 'stop' }, leases } };
    }
    if (!path.endsWith('/heartbeat')) ends(path.split('/')[3], body);
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

const gateOf = async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'isolate-'));
  t.after(() => rm(dir, { recursive: true }));
  return join(dir, 'gate');
};

test('a process that ends before it has come up costs no task its attempt', async (t) => {
  const { code, said, ended } = await work(t, ['die', 'well'], { GATE: await gateOf(t), BRITTLE: '1' });
  assert.deepEqual([code, ended.l1.map(({ op, error }) => [op, error?.message])], [0, [['complete', undefined]]], said);
});

test('a task whose time is over before its process has come up is not begun in it', async (t) => {
  const gate = await gateOf(t);
  const { code, said, ended, lines } = await work(t, ['die', 'brief', 'well'], { GATE: gate }, (lease) => lease === 'l1' && writeFileSync(gate, ''));
  assert.deepEqual([code, ended.l1.map(({ op, error }) => [op, error.code]), lines.l1, ended.l2.map(({ op }) => op)], [0, [['fail', 'timeout']], [], ['complete']], said);
});

test('a process that ends by itself after a task gets no further one', async (t) => {
  const { code, said, ended } = await work(t, ['stop', 'well'], { LINGER: '1' });
  assert.deepEqual([code, ended.l0.map(({ op }) => op), ended.l1.map(({ op, error }) => [op, error?.message])], [0, ['complete'], [['complete', undefined]]], said);
});

test('a process leaves it to its worker to end on a signal', async (t) => {
  const { code, said, ended } = await work(t, ['pid', 'pid'], {}, (lease, { result }) => lease === 'l0' && process.kill(result, 'SIGTERM'));
  assert.deepEqual([code, ended.l1], [0, ended.l0], said);
});
