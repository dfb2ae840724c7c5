// A worker that takes leases over HTTP. See docs/guides/http-workers.md.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Task, perform } from './attempt.js';
import { ConnectionError, ProblemError } from './errors.js';
import { Transport } from './http.js';
import { Outbox } from './outbox.js';

const reportEvery = 250; // ms
const mostLines = 1000; // of one request
const mostPending = 10_000; // lines of an attempt that the server has not taken yet
const longestPause = 5000; // ms between two calls for tasks while they fail
const hopeless = [400, 401, 403, 413, 415, 422]; // statuses of a call for tasks that will not get better

/** Runs tasks until stop is called or the server says stop. */
export class Leases {
  #options;
  #http;
  #id = randomUUID(); // fresh for each run of the process
  #held = new Map(); // by lease: {task, lines, progress, ended}
  #busy = 0; // handlers that run, whatever became of their leases
  #renewed = performance.now(); // when the last call was sent that kept the leases alive
  #draining = new AbortController();
  #gone = new AbortController(); // no time is left to deliver anything
  #deaf = 0; // handlers that run on although they were told to stop
  #failed; // why the worker ends
  #troubles = 0; // calls for tasks in a row that failed
  #said = ''; // about them
  #free; // tells the loop of a free slot
  #outbox;

  constructor(options) {
    this.#options = options;
    this.#http = new Transport(options);
    this.#outbox = new Outbox(this.#http, this.#gone.signal);
  }

  async run() {
    const beats = setInterval(() => void this.#beat(), this.#options.ttlMs / 3);
    const reports = setInterval(() => this.#report(), reportEvery);
    try {
      while (!this.#draining.signal.aborted) await this.#take();
    } finally {
      await this.#drain();
      clearInterval(beats);
      clearInterval(reports);
      await this.#http.call('DELETE', `/v1/workers/${this.#id}`, { repeatable: true, retries: 2 }).catch((error) => this.#warn('deregister', error));
    }
    if (this.#failed) throw this.#failed;
  }

  get deaf() {
    return this.#deaf;
  }

  stop() {
    this.#draining.abort();
    this.#free?.();
  }

  /** Ends what runs and hands it back. */
  abort() {
    for (const { task } of this.#held.values()) Task.stop(task, 'shutdown');
  }

  async #take() {
    const { concurrency, handlers, name, version, queues, ttlMs, waitSeconds } = this.#options;
    if (this.#busy >= concurrency) {
      await new Promise((resolve) => (this.#free = resolve));
      return;
    }
    const body = {
      worker: { id: this.#id, name, version, host: hostname(), pid: process.pid, language: `node ${process.versions.node}`, slots: concurrency },
      queues, kinds: [...handlers.keys()], max: Math.min(500, concurrency - this.#busy), ttl_ms: ttlMs, held: [...this.#held.keys()],
    };
    const sent = performance.now();
    let answer;
    try {
      answer = await this.#http.call('POST', '/v1/leases', { body, wait: waitSeconds, signal: this.#draining.signal, repeatable: true, retries: 0 });
      if (!Array.isArray(answer?.leases) || !answer.worker) throw new ConnectionError(`what answers at ${this.#http.base} is no scheduler`, true);
    } catch (error) {
      if (this.#draining.signal.aborted) return;
      if (error instanceof ProblemError && (error.status < 400 || hopeless.includes(error.status))) throw error;
      await this.#trouble(error);
      return;
    }
    if (this.#said !== '') this.#options.logger.error('lease: the server answers again');
    [this.#troubles, this.#said] = [0, ''];
    this.#renewed = Math.max(this.#renewed, sent);
    for (const { lease, task } of answer.leases) void this.#begin(lease, task);
    await this.#obey(answer.worker.state, true);
  }

  /** Says what is wrong with the server, not again and again, and waits. */
  async #trouble(error) {
    const what = error instanceof ProblemError ? `${this.#http.base} says: ${error.message}` : error.message;
    if (what !== this.#said) this.#options.logger.error(`lease: ${this.#said = what}; trying again`);
    const pause = Math.min(longestPause, 250 * 2 ** Math.min(this.#troubles++, 10)) * (0.5 + Math.random() / 2);
    await this.#pause(Math.max(pause, error.retryAfterMs ?? 0));
  }

  async #obey(state, idle) {
    if (state === 'stop') this.stop();
    else if (state === 'quiet' && idle) await this.#pause(Math.min(2000, this.#options.ttlMs / 3));
  }

  #pause(milliseconds) {
    return sleep(milliseconds, undefined, { signal: this.#draining.signal }).catch(() => {});
  }

  async #begin(lease, fields) {
    const held = { lines: [], progress: undefined };
    held.task = new Task(fields, {
      progress: (progress) => (held.progress = progress),
      log: (message) => held.lines.length < mostPending && held.lines.push({ message }),
      checkpoint: (checkpoint) => this.#checkpoint(lease, held, checkpoint),
    });
    this.#held.set(lease, held);
    this.#busy++;
    const { outcome, over } = perform(held.task, this.#options.handlers.get(fields.kind), { alone: true, graceMs: this.#options.graceMs });
    let running = true;
    const ended = over.then(() => (running = false));
    await outcome.then((it) => this.#end(lease, held, it));
    if (running) await this.#outlast(held.task, ended);
    this.#busy--;
    this.#free?.();
  }

  /** Waits for the end of a handler that does not hear. When all slots wait so, only a new process can help. */
  async #outlast(task, ended) {
    const { concurrency, logger } = this.#options;
    this.#deaf++;
    logger.error(`deaf: the handler of task ${task.id} (${task.kind}) goes on although it was told to stop (${task.signal.reason.code}); `
      + `it keeps its slot until it ends; ${this.#deaf} of ${concurrency} slots are lost so`);
    if (this.#deaf === concurrency && !this.#draining.signal.aborted) {
      this.#failed = Object.assign(new Error(`all ${concurrency} slots run handlers that were told to stop and did not: a new process is needed`), { code: 'all_deaf' });
      this.stop();
    }
    await ended;
    this.#deaf--;
    logger.error(`deaf: the handler of task ${task.id} (${task.kind}) has ended at last`);
  }

  async #end(lease, held, { op, ...fields }) {
    held.ended = true; // its reports go with the outcome
    try {
      if (op !== 'lost') {
        while (held.lines.length > mostLines) await this.#say(lease, held, 'heartbeat');
        await this.#say(lease, held, op, fields);
      }
    } catch (error) {
      await this.#refused(lease, held.task, error);
    } finally {
      this.#held.delete(lease);
      this.#free?.();
    }
  }

  /** Sends what was said along. A progress that the server does not take is left out; lines outlive a bad checkpoint. */
  async #say(lease, held, op, fields = {}) {
    const { progress, ...lines } = news(held);
    try {
      return await this.#outbox.send(lease, op, { ...fields, ...lines, ...(progress !== undefined && { progress }) });
    } catch (error) {
      if (![400, 413, 422].includes(error.status)) throw error;
      if (progress !== undefined) {
        this.#warn(`report task ${held.task.id}`, error);
        return this.#outbox.send(lease, op, { ...fields, ...lines });
      }
      if ('checkpoint' in fields) held.lines.unshift(...(lines.logs ?? []));
      throw error;
    }
  }

  /** An outcome that the server does not take is a failure, unless nothing counts any more. */
  async #refused(lease, task, error) {
    this.#warn(`end task ${task.id}`, error);
    if (error instanceof ConnectionError || error.code === 'lease_lost' || this.#gone.signal.aborted) return;
    const fields = { error: { code: 'bad_result', message: error.message, stack: '' }, retryable: false };
    await this.#outbox.send(lease, 'fail', fields).catch((again) => this.#warn(`fail task ${task.id}`, again));
  }

  async #checkpoint(lease, held, checkpoint) {
    try {
      this.#heard(held, await this.#say(lease, held, 'heartbeat', { checkpoint }));
    } catch (error) {
      if (error.code === 'lease_lost') Task.stop(held.task, 'lost');
      held.task.signal.throwIfAborted();
      throw error;
    }
  }

  /** Sends what handlers said since the last time. */
  #report() {
    for (const [lease, held] of this.#held) {
      if (held.ended || (held.lines.length === 0 && held.progress === undefined) || held.reporting) continue;
      held.reporting = true;
      this.#say(lease, held, 'heartbeat').then((answer) => this.#heard(held, answer), (error) => {
        if (error.code === 'lease_lost') Task.stop(held.task, 'lost');
        else this.#warn(`report task ${held.task.id}`, error);
      }).finally(() => (held.reporting = false));
    }
  }

  #heard(held, { state, cancelled }) {
    if (cancelled) Task.stop(held.task, 'cancelled');
    void this.#obey(state, false);
  }

  /** One heartbeat for all leases. Without one for the whole of their time they are somebody else's. */
  async #beat() {
    if (this.#held.size === 0) return;
    const { ttlMs } = this.#options;
    const sent = performance.now();
    const late = AbortSignal.timeout(Math.ceil(ttlMs / 3));
    try {
      const body = { leases: [...this.#held.keys()], memory_bytes: process.memoryUsage.rss() };
      const answer = await this.#http.call('POST', `/v1/workers/${this.#id}/heartbeat`, { body, repeatable: true, signal: late });
      this.#renewed = Math.max(this.#renewed, sent);
      for (const lease of answer.cancelled) this.#stop(lease, 'cancelled');
      for (const lease of answer.lost) this.#stop(lease, 'lost');
      await this.#obey(answer.state, false);
    } catch (error) {
      this.#warn('heartbeat', late.aborted ? new Error(`no good answer within ${Math.ceil(ttlMs / 3)} ms`) : error);
      if (performance.now() - this.#renewed > ttlMs * 0.9) for (const lease of this.#held.keys()) this.#stop(lease, 'lost');
    }
  }

  #stop(lease, code) {
    const held = this.#held.get(lease);
    if (held && !held.ended) Task.stop(held.task, code);
  }

  /** Lets what runs finish, for a while. */
  async #drain() {
    this.#draining.abort();
    const late = setTimeout(() => this.abort(), this.#options.drainTimeoutMs);
    const hopeless = setTimeout(() => this.#gone.abort(new Error('the worker ends')), this.#options.drainTimeoutMs + 10_000);
    while (this.#held.size > 0) await new Promise((resolve) => (this.#free = resolve));
    await this.#outbox.empty();
    clearTimeout(late);
    clearTimeout(hopeless);
  }

  #warn(verb, error) {
    this.#options.logger.error(`${verb}: ${error.message}`);
  }
}

/** What was said and not sent, as fields of a request. */
function news(held) {
  const fields = { ...(held.progress !== undefined && { progress: held.progress }), ...(held.lines.length > 0 && { logs: held.lines.splice(0, mostLines) }) };
  held.progress = undefined;
  return fields;
}
