// Runs tasks: as a child of scheduler worker --cmd, or with leases over HTTP.
import { hostname } from 'node:os';
import { Frames } from './frames.js';
import { Children } from './isolate.js';
import { Leases } from './leases.js';

const defaults = {
  queues: ['default'], concurrency: 1, ttlMs: 60_000, drainTimeoutMs: 30_000, graceMs: 5000, waitSeconds: 20, version: '', isolate: false, signals: true, logger: console,
};

export class Worker {
  #options;
  #handlers = new Map();
  #door;

  /** See WorkerOptions in index.d.ts. url, token, queues, ttlMs, … are of no concern below scheduler worker --cmd. */
  constructor(options = {}) {
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
    this.#options = { ...defaults, name: `${hostname()}:${process.pid}`, ...given, handlers: this.#handlers };
    const { concurrency, ttlMs, queues, graceMs } = this.#options;
    if (!(Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= 500)) throw new RangeError('concurrency: 1 to 500 tasks at once');
    if (!(ttlMs >= 5000 && ttlMs <= 86_400_000)) throw new RangeError('ttlMs: 5000 to 86400000');
    if (!(graceMs >= 0 && graceMs <= 60_000)) throw new RangeError('graceMs: 0 to 60000');
    if (!Array.isArray(queues) || queues.length === 0) throw new TypeError('queues: a list of names');
  }

  /** Says what runs the tasks of a kind: handler(task) returns, or promises, the result. Returns the worker. */
  handle(kind, handler) {
    if (typeof handler !== 'function') throw new TypeError(`handle ${kind}: a function is needed`);
    if (this.#handlers.has(kind)) throw new TypeError(`handle ${kind}: there is a handler already`);
    this.#handlers.set(String(kind), handler);
    return this;
  }

  /** Works until SIGTERM or SIGINT, stop(), or until it is told to by the server or its parent; then lets running tasks finish. */
  async run() {
    if (this.#handlers.size === 0) throw new Error('there are no handlers');
    if (this.#door) throw new Error('it ran already');
    const pool = this.#options.isolate && !process.env.SCHEDULER_FD ? new Children(this.#options) : undefined;
    this.#door = process.env.SCHEDULER_FD ? new Frames(this.#options) : new Leases({ ...this.#options, ...pool?.options([...this.#handlers.keys()]) });
    let told = 0;
    const kept = process.env.SCHEDULER_FD && process.env.SCHEDULER_ORPHAN === 'exit'; // by a worker that hears the same signal, and may be giving it a task
    const onSignal = () => kept || (++told === 1 ? this.#door.stop() : this.#door.abort());
    const names = this.#options.signals ? ['SIGTERM', 'SIGINT'] : [];
    for (const name of names) process.on(name, onSignal);
    for (const output of [process.stdout, process.stderr]) if (!output.listeners('error').includes(onUnread)) output.on('error', onUnread);
    try {
      await pool?.start(this.#options.concurrency);
      await this.#door.run();
    } finally {
      await pool?.close();
      for (const name of names) process.off(name, onSignal);
    }
  }

  /** Handlers that run on although they were told to stop, and keep their slots. */
  get deaf() {
    return this.#door?.deaf ?? 0;
  }

  /** Takes nothing more and lets run() return once what runs is done. */
  stop() {
    this.#door?.stop();
  }
}

/** Whoever read the output is gone: no reason to leave tasks in the lurch. */
function onUnread(error) {
  if (error.code !== 'EPIPE') throw error;
}
