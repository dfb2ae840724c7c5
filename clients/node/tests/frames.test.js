import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import test from 'node:test';

const program = `
import { Worker } from '${new URL('../index.js', import.meta.url)}';
const worker = new Worker({ concurrency: 2 });
worker.handle('x', async ({ payload }) => {
  if (payload === 'signal') {
    const heard = new Promise((resolve) => process.once('SIGTERM', () => setImmediate(resolve)));
    process.kill(process.pid, 'SIGTERM');
    await heard;
  }
  return payload;
});
await worker.run();
`;

/** What the program says when it is sent these frames, and how it ends. */
async function play(frames) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { env: { ...process.env, SCHEDULER_FD: '3' }, stdio: ['pipe', 'inherit', 'inherit', 'pipe'] });
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

test('who was told to drain need not say so', async () => {
  const { code, said } = await play([{ op: 'task', task: { id: '1', kind: 'x', payload: 'more' } }, { op: 'drain' }]);
  assert.deepEqual([code, said], [0, [{ op: 'result', id: '1', result: 'more' }]]);
});
