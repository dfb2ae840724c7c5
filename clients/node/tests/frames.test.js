import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import test from 'node:test';

const program = (run) => `
import { Worker } from '${new URL('../index.js', import.meta.url)}';
const worker = new Worker({ concurrency: 2 });
worker.handle('x', async ({ payload, signal }) => {
  if (payload === 'two signals') {
    for (let i = 0; i < 2; i++) process.emit('SIGTERM');
    signal.throwIfAborted();
  }
  if (payload === 'signal') {
    const heard = new Promise((resolve) => process.once('SIGTERM', () => setImmediate(resolve)));
    process.kill(process.pid, 'SIGTERM');
    await heard;
  }
  return payload;
});
${run}
`;

/** What the program says when it is sent these frames, and how it ends. */
async function play(frames, run = 'await worker.run();') {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program(run)], { env: { ...process.env, SCHEDULER_FD: '3' }, stdio: ['pipe', 'inherit', 'inherit', 'pipe'] });
  const said = [];
  createInterface({ input: child.stdio[3] }).on('line', (line) => said.push(JSON.parse(line)));
  for (const frame of frames) child.stdin.write(`${JSON.stringify(frame)}\n`);
  const [code] = await once(child, 'close');
  return { code, said: said.slice(1) };
}

test('who was sent a signal says with its next outcome that it ends', async () => {
  const { code, said } = await play([{ op: 'task', task: { id: '1', kind: 'x', payload: 'signal' } }]);
  assert.deepEqual([code, said], [0, [{ op: 'result', id: '1', result: 'signal', ends: true }]]);
});

test('what is given up at a second signal is no failure', async () => {
  const { code, said } = await play([{ op: 'task', task: { id: '1', kind: 'x', payload: 'two signals' } }]);
  assert.deepEqual([code, said], [0, [{ op: 'snooze', id: '1', delay_ms: 0, reason: 'shutdown', ends: true }]]);
});

test('who is stopped before it has begun ends', async () => {
  assert.deepEqual(await play([], 'const ended = worker.run(); worker.stop(); await ended;'), { code: 0, said: [] });
});

test('who was told to drain need not say so', async () => {
  const { code, said } = await play([{ op: 'task', task: { id: '1', kind: 'x', payload: 'more' } }, { op: 'drain' }]);
  assert.deepEqual([code, said], [0, [{ op: 'result', id: '1', result: 'more' }]]);
});
