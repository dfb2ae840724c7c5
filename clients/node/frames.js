// A child of scheduler worker --cmd: frames on stdin, frames on the descriptor SCHEDULER_FD. See docs/child.md.
import { writeSync } from 'node:fs';
import { Task, perform, storable } from './attempt.js';

/** Runs tasks until the parent says drain, stdin ends, or stop is called. */
export class Frames {
  #fd = Number(process.env.SCHEDULER_FD);
  #handlers;
  #slots;
  #log;
  #running = new Map(); // attempts by id of the task
  #saves = new Map(); // what waits for the parent's answer to a checkpoint
  #draining = false;
  #dismissed = false; // by a frame
  #leaving = false; // by itself, of which the parent has to know
  #aborted = false;
  #rest;
  #ended = new Promise((resolve) => (this.#rest = resolve));

  constructor({ handlers, concurrency, isolate, logger }) {
    [this.#handlers, this.#slots, this.#log] = [handlers, isolate ? 1 : concurrency, logger];
  }

  async run() {
    this.#say({ op: 'ready', v: 1, kinds: [...this.#handlers.keys()], slots: this.#slots, language: `node ${process.versions.node}` });
    this.#listen();
    await this.#ended;
    process.stdin.destroy();
  }

  /** Ends once what runs is done. */
  stop() {
    this.#leaving = true;
    this.#drain();
  }

  /** Ends what runs, to be run again at once. */
  abort() {
    this.#aborted = true;
    for (const task of this.#running.values()) Task.stop(task, 'shutdown');
  }

  #drain() {
    this.#draining = true;
    if (this.#running.size === 0) this.#rest();
  }

  #listen() {
    const parts = [];
    process.stdin.on('data', (chunk) => {
      for (let end; (end = chunk.indexOf(10)) >= 0; chunk = chunk.subarray(end + 1)) {
        this.#hear(Buffer.concat([...parts.splice(0), chunk.subarray(0, end)]).toString());
      }
      if (chunk.length > 0) parts.push(chunk);
    });
    process.stdin.on('end', () => {
      if (process.env.SCHEDULER_ORPHAN === 'exit' && !this.#dismissed) process.exit(1); // the parent was killed, and has the lease no more
      this.#drain();
    });
    process.stdin.on('error', () => this.#drain());
  }

  #hear(line) {
    let frame;
    try {
      frame = JSON.parse(line);
    } catch (error) {
      this.#log.error(`a frame that is no JSON: ${error.message}`);
      return;
    }
    if (frame?.op === 'drain') [this.#dismissed] = [true, this.#drain()];
    else if (frame?.op === 'task') void this.#begin(frame.task);
    else if (frame?.op === 'cancel' && this.#running.has(frame.id)) Task.stop(this.#running.get(frame.id), frame.reason ?? 'cancelled');
    else if (frame?.op === 'saved') this.#saves.get(frame.id)?.shift()?.(frame.error);
  }

  async #begin(fields) {
    const { id } = fields;
    const task = new Task(fields, {
      progress: (progress) => this.#say({ op: 'progress', id, ...progress }),
      log: (message) => this.#say({ op: 'log', id, message }),
      checkpoint: (checkpoint, signal) => this.#save(id, checkpoint, signal),
    });
    this.#running.set(id, task);
    const handler = this.#handlers.get(fields.kind) ?? (() => {
      throw Object.assign(new Error(`this worker has no handler for ${fields.kind}`), { code: 'unknown_kind' });
    });
    const { outcome, over } = perform(task, handler);
    outcome.then((it) => this.#end(id, it));
    await over;
    this.#running.delete(id);
    this.#saves.delete(id);
    if (this.#draining && this.#running.size === 0) this.#rest();
  }

  #end(id, { op, ...fields }) {
    const ends = this.#leaving && { ends: true };
    if (op === 'complete') this.#say({ op: 'result', id, result: fields.result, ...ends });
    else if (op === 'release' && (fields.delay_ms !== undefined || this.#aborted)) this.#say({ op: 'snooze', id, delay_ms: 0, ...fields, ...ends });
    else if (op === 'fail') {
      const { error, retryable, retry_after_ms } = fields;
      this.#say({ op: 'error', id, ...error, retryable, permanent: !retryable, ...(retry_after_ms !== undefined && { retry_after_ms }), ...ends });
    } else this.#say({ op: 'error', id, code: op === 'lost' ? 'lost' : 'shutdown', message: storable(fields.reason ?? op), ...ends });
  }

  async #save(id, checkpoint, signal) {
    this.#say({ op: 'checkpoint', id, checkpoint });
    const waiting = this.#saves.get(id) ?? [];
    this.#saves.set(id, waiting);
    let onAbort;
    await new Promise((resolve, reject) => {
      waiting.push((error) => (error === undefined || error === null ? resolve() : reject(new Error(`the checkpoint was refused: ${error.message ?? error}`))));
      onAbort = () => reject(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
    }).finally(() => signal.removeEventListener('abort', onAbort));
  }

  /** One line, all of it. A parent that is gone ends the child. */
  #say(frame) {
    let rest = Buffer.from(`${JSON.stringify(frame)}\n`);
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(this.#fd, rest));
      } catch (error) {
        if (error.code === 'EAGAIN') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
        else if (error.code === 'EPIPE') process.exit(1);
        else throw error;
      }
    }
  }
}
