// The conformance worker: see conformance/README.md.
import { setTimeout as sleep } from 'node:timers/promises';
import { PermanentError, RetryAfter, Snooze, Worker } from '../index.js';

const sample = 'žluťoučký 🐎 \\u0000-free "quotes" \\ / \n end';
const leases = !process.env.SCHEDULER_FD;

async function die() {
  process.kill(process.pid, 'SIGKILL');
  await new Promise(() => {});
}

const kinds = {
  echo: (task) => task.payload,

  progress(task) {
    const { steps } = task.payload;
    for (let i = 1; i <= steps; i++) {
      task.progress(i, steps, `step ${i}`);
      task.log(`line ${i}`);
    }
    return { steps };
  },

  fail({ payload: { message, code, retryable, retry_after_ms } }) {
    if (retryable === false) throw new PermanentError(message, { code });
    if (retry_after_ms !== undefined) throw new RetryAfter(retry_after_ms, message, { code });
    throw Object.assign(new Error(message), { code });
  },

  throw({ payload }) {
    throw new RangeError(payload.message);
  },

  flaky(task) {
    if (task.attempt < task.payload.until) throw new RetryAfter(0, 'flaky');
    return { attempt: task.attempt };
  },

  async crash(task) {
    if (task.attempt < task.payload.until) await die();
    return { attempt: task.attempt };
  },

  snooze(task) {
    if (task.attempt < task.payload.until) throw new Snooze(task.payload.delay_ms);
    return { attempt: task.attempt };
  },

  async checkpoint(task) {
    const { steps, crash_at } = task.payload;
    const from = task.checkpoint?.step ?? 0;
    for (let step = from + 1; step <= steps; step++) {
      await task.saveCheckpoint({ step });
      if (step === crash_at && task.attempt === 1) await die();
    }
    return { from, steps };
  },

  wait: (task) => new Promise((_, reject) => {
    task.signal.addEventListener('abort', () => reject(task.signal.reason));
    if (task.signal.aborted) reject(task.signal.reason);
  }),

  async sleep(task) {
    task.log('sleeps');
    await sleep(task.payload.ms, undefined, { signal: task.signal });
    return { slept: task.payload.ms };
  },

  big: ({ payload }) => ({ text: 'x'.repeat(payload.bytes) }),

  stray(task) {
    if (leases) {
      task.log('stray out é');
      task.log('stray err');
    } else {
      console.log('stray out é');
      console.error('stray err');
    }
    return {};
  },

  unicode(task) {
    task.log(sample);
    task.progress(1, 1, sample);
    return sample;
  },
};

const worker = new Worker({ queues: process.env.QUEUES?.split(','), ttlMs: process.env.TTL_MS ? Number(process.env.TTL_MS) : undefined, isolate: process.env.ISOLATE === '1' });
for (const [name, handler] of Object.entries(kinds)) worker.handle(`conformance.${name}`, handler);
await worker.run();
