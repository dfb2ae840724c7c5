// One attempt at a task: what its handler sees, and how it ended.
import { PermanentError, RetryAfter, Snooze, Stopped } from './errors.js';

const longestTimer = 2 ** 31 - 1;

/** How an attempt ended in another process: {op, …} as perform has it. */
export class Ended extends Error {
  constructor(outcome) {
    super(outcome.error?.message ?? outcome.reason ?? 'ended');
    this.outcome = outcome;
  }
}

/** What a handler is given: the leased task's fields, as the wire names them, and what it may say. */
export class Task {
  #teller;
  #stop = new AbortController();

  constructor(fields, teller) {
    for (const [name, value] of Object.entries(fields)) if (!(name in this)) this[name] = value; // a later server may have fields named like methods
    this.#teller = teller;
    Object.defineProperty(this, 'signal', { value: this.#stop.signal });
  }

  /** Reports how far it is; the last report counts. */
  progress(current, total, message, data) {
    for (const n of [current, total ?? 0]) if (!Number.isFinite(n)) throw new TypeError('progress: current and total are numbers');
    if (data !== undefined) needJSON('progress', data);
    this.#teller.progress({
      current: Math.round(current), ...(total != null && { total: Math.round(total) }), ...(message != null && { message: storable(message) }), ...(data !== undefined && { data }),
    });
  }

  /** Writes a line to the task's log. */
  log(message) {
    this.#teller.log(storable(message));
  }

  /** Stores where the work has got to; the next attempt finds it as task.checkpoint. Ends once it is stored, throws when it can't be. */
  async saveCheckpoint(value) {
    this.signal.throwIfAborted();
    if (value !== undefined) needJSON('saveCheckpoint', value);
    await this.#teller.checkpoint(value === undefined ? null : value, this.signal);
    this.checkpoint = value;
  }

  /** Aborts signal, for the door: not for handlers. */
  static stop(task, code) {
    task.#stop.abort(new Stopped(code));
  }
}

/**
 * Runs the handler. outcome: {op: complete | fail | release | lost, …its fields}; over: when the handler has really ended. alone: nobody else
 * minds the task's time, nor a handler that is deaf to its signal: its outcome then comes graceMs after it.
 */
export function perform(task, handler, { alone = false, graceMs } = {}) {
  let timer;
  if (alone && task.timeout_ms > 0 && task.timeout_ms < longestTimer) timer = setTimeout(() => Task.stop(task, 'timeout'), task.timeout_ms);
  const work = (async () => {
    try {
      const result = await handler(task);
      return task.signal.reason?.code === 'lost' ? { op: 'lost' } : completion(result);
    } catch (error) {
      return failure(error, task.signal.aborted ? task.signal.reason : undefined);
    } finally {
      clearTimeout(timer);
    }
  })();
  let patience, onAbort;
  const deaf = new Promise((resolve) => {
    onAbort = () => (patience = setTimeout(() => resolve(failure(task.signal.reason, task.signal.reason)), graceMs));
  });
  if (alone) task.signal.addEventListener('abort', onAbort, { once: true });
  const over = work.then(() => {
    clearTimeout(patience);
    task.signal.removeEventListener('abort', onAbort); // it may still be told to stop while its outcome is under way
  });
  return { outcome: Promise.race([work, deaf]), over };
}

/** Throws for what has no form in JSON. */
function needJSON(what, value) {
  if (JSON.stringify(value) === undefined) throw new TypeError(`${what}: a ${typeof value} is no JSON`);
}

function completion(result = null) {
  try {
    needJSON('result', result);
  } catch (error) {
    return { op: 'fail', error: { code: 'bad_result', message: storable(error.message), stack: '' }, retryable: false };
  }
  return { op: 'complete', result };
}

/** What an error of a handler means. stopped: why it was told to stop, if it was. */
export function failure(error, stopped) {
  if (stopped?.code === 'lost') return { op: 'lost' };
  if (stopped?.code === 'shutdown') return { op: 'release', reason: 'shutdown' };
  if (!stopped && error instanceof Ended) return error.outcome;
  if (!stopped && error instanceof Snooze) return { op: 'release', delay_ms: error.milliseconds, reason: storable(error.reason) };
  return {
    op: 'fail',
    error: { code: stopped?.code ?? codeOf(error), message: storable(error?.message ?? error) || 'no message', stack: storable(error?.stack ?? '') },
    retryable: !(error instanceof PermanentError),
    ...(error instanceof RetryAfter && { retry_after_ms: error.milliseconds }),
  };
}

function codeOf(error) {
  if (typeof error?.code === 'string' && error.code !== '') return storable(error.code);
  if (!(error instanceof Error)) return 'error';
  return storable(error.name !== 'Error' ? error.name : error.constructor?.name || 'Error');
}

/** A text that PostgreSQL can store. */
export const storable = (text) => Buffer.from(String(text)).toString().replaceAll('\0', '\ufffd');
