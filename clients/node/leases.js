// A worker that takes leases over HTTP. See docs/guides/http-workers.md.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { Task, perform } from './attempt.js';
import { ConnectionError, ProblemError } from './errors.js';
import { Transport, backoff, pause } from './http.js';
import { Outbox } from './outbox.js';

const reportEvery = 250; // ms
const mostLines = 1000; // of one request
const mostPending = 10_000; // lines of an attempt that the server has not taken yet
const longestPause = 5000; // ms between two calls for tasks while they fail
const refusals = [400, 413, 422]; // statuses of a body that will never be taken
const hopeless = [400, 401, 403, 413, 415, 422]; // statuses of a call for tasks that will not get better

/** Runs tasks until stop is called or the server says stop. */
export class Leases {
  #options;
  #http;
  #id = randomUUID(); // fresh for each run of the process
  #held = new Map(); // by lease: {task, lines, progress, reporting, reportAt, ended}
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
      answer = await this.#http.call('POST', '/v1/leases', { body, wait: Math.min(waitSeconds, ttlMs / 3000), signal: this.#draining.signal, repeatable: true, retries: 0 });
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
    return pause(milliseconds, this.#draining.signal).catch(() => {});
  }

  async #begin(lease, fields) {
    const held = { lines: [], progress: undefined, reportAt: 0 };
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
      await held.reporting; // what of it is to be said again comes before the outcome, or never
      if (op !== 'lost') await this.#tell(lease, held, op, fields);
    } catch (error) {
      await this.#refused(lease, held, error);
    } finally {
      this.#held.delete(lease);
      this.#free?.();
    }
  }

  /** Ends the attempt. An answer that is neither yes nor no, as of a proxy whose servers restart, is no reason to throw work away at once. */
  async #tell(lease, held, op, fields) {
    const until = performance.now() + this.#options.ttlMs;
    for (let vain = 0; ; vain++) {
      try {
        while (held.lines.length > mostLines) await this.#say(lease, held, 'heartbeat');
        return await this.#say(lease, held, op, fields);
      } catch (error) {
        if (!(error instanceof ProblemError) || refusals.includes(error.status) || error.code === 'lease_lost' || performance.now() > until) throw error;
        this.#warn(`end task ${held.task.id}, to be said again`, error);
        await pause(backoff(vain), this.#gone.signal);
      }
    }
  }

  /** Sends what was said along. A progress that the server does not take is left out; lines outlive all that is not their own fault. */
  async #say(lease, held, op, fields = {}, mute = false) {
    const { progress, ...lines } = news(held, mute);
    try {
      return await this.#outbox.send(lease, op, { ...fields, ...lines, ...(progress !== undefined && { progress }) });
    } catch (error) {
      const refused = refusals.includes(error.status);
      if (!refused || progress !== undefined || Object.keys(fields).length > 0) held.lines.unshift(...(lines.logs ?? []));
      if (!refused && error instanceof ProblemError) held.progress ??= progress;
      if (!refused || progress === undefined) throw error;
      this.#warn(`report task ${held.task.id}`, error);
      return this.#say(lease, held, op, fields, true); // the progress that came meanwhile may be as bad
    }
  }

  /** An outcome that the server does not take is a failure, unless nothing counts any more. */
  async #refused(lease, held, error) {
    this.#warn(`end task ${held.task.id}`, error);
    if (error instanceof ConnectionError || error.code === 'lease_lost' || this.#gone.signal.aborted) return;
    const never = !(error instanceof ProblemError) || refusals.includes(error.status);
    const fields = { error: { code: never ? 'bad_result' : 'not_stored', message: error.message, stack: '' }, retryable: !never };
    const fail = () => this.#say(lease, held, 'fail', fields);
    await fail().catch((again) => {
      held.lines = [];
      if (!refusals.includes(again.status)) throw again;
      return fail(); // not even that, with them
    }).catch((again) => this.#warn(`fail task ${held.task.id}`, again));
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
      if (held.ended || (held.lines.length === 0 && held.progress === undefined) || held.reporting || performance.now() < held.reportAt) continue;
      held.reporting = this.#say(lease, held, 'heartbeat').then((answer) => this.#heard(held, answer), (error) => {
        held.reportAt = performance.now() + longestPause;
        if (error.code === 'lease_lost') Task.stop(held.task, 'lost');
        else this.#warn(`report task ${held.task.id}`, error);
      }).finally(() => (held.reporting = undefined));
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
      const body = () => ({ leases: [...this.#held.keys()], memory_bytes: process.memoryUsage.rss() }); // what a late try did not name would be handed back
      const answer = await this.#http.call('POST', `/v1/workers/${this.#id}/heartbeat`, { body, repeatable: true, signal: late });
      if (!Array.isArray(answer?.cancelled) || !Array.isArray(answer.lost)) throw new ConnectionError(`what answers at ${this.#http.base} is no scheduler`, true);
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
    const { drainTimeoutMs, graceMs } = this.#options;
    const late = setTimeout(() => this.abort(), drainTimeoutMs);
    const hopeless = setTimeout(() => this.#gone.abort(new Error('the worker ends')), drainTimeoutMs + graceMs + 10_000);
    while (this.#held.size > 0) await new Promise((resolve) => (this.#free = resolve));
    await this.#outbox.empty();
    clearTimeout(late);
    clearTimeout(hopeless);
  }

  #warn(verb, error) {
    this.#options.logger.error(`${verb}: ${error.message}`);
  }
}

/** What was said and not sent, as fields of a request. mute: the lines alone. */
function news(held, mute) {
  const progress = mute ? undefined : held.progress;
  if (!mute) held.progress = undefined;
  return { ...(progress !== undefined && { progress }), ...(held.lines.length > 0 && { logs: held.lines.splice(0, mostLines) }) };
}
