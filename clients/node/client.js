// Submits tasks over HTTP, reads and controls them, follows them.
import { Breaker } from './breaker.js';
import { follow } from './events.js';
import { Transport } from './http.js';
import { Lease } from './lease.js';

const longestWait = 60; // seconds, of one request

export class Client {
  #http;

  /**
   * url and token default to SCHEDULER_URL and SCHEDULER_TOKEN; timeoutMs is for one request, beside what it waits. After circuit.failures (5)
   * requests in a row without an answer all throw a CircuitOpen for circuit.pauseMs (10,000).
   */
  constructor({ circuit, ...options } = {}) {
    this.#http = new Transport({ ...options, breaker: new Breaker(circuit) });
  }

  /**
   * Submits a task: {kind, payload, queue, …} as docs/reference/http.md has them. Returns it once it is durable; with wait, seconds, as it
   * is when it is done or they are over. It is sent again after a lost answer only with an idempotency_key or a requestId.
   */
  async submit(task, { wait = 0, requestId, traceparent, signal } = {}) {
    const headers = { ...(requestId && { 'x-request-id': requestId }), ...(traceparent && { traceparent }) };
    const repeatable = Boolean(task.idempotency_key || requestId);
    return this.#http.call('POST', '/v1/tasks', { body: task, headers, wait: Math.min(wait, longestWait), signal, repeatable });
  }

  /** Submits up to 10,000 tasks, all or none, and returns {id, queue, state, replayed, existing, …} of each, in order. */
  async submitMany(tasks, { signal } = {}) {
    if (tasks.length === 0) return [];
    const repeatable = tasks.every((task) => task.idempotency_key);
    return (await this.#http.call('POST', '/v1/tasks/batch', { body: tasks, signal, repeatable })).items;
  }

  async task(id, { signal } = {}) {
    return this.#http.call('GET', at(id), { signal });
  }

  /** The task once it is done, or as it is after timeoutMs. */
  async wait(id, { timeoutMs = Infinity, signal } = {}) {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const left = (end - performance.now()) / 1000;
      const task = await this.#http.call('GET', at(id), { wait: left > 0 ? Math.min(left, 30) : 0, signal });
      if (task.done || performance.now() >= end) return task;
    }
  }

  /** Cancels it; one that runs is asked to stop. */
  async cancel(id, { reason, signal } = {}) {
    return this.#http.call('POST', at(id, '/cancel'), { body: { ...(reason && { reason }) }, signal });
  }

  /** Brings a failed or cancelled task back. */
  async retry(id, { signal } = {}) {
    return this.#http.call('POST', at(id, '/retry'), { body: {}, signal });
  }

  /** Why it does not run: {code, reason, fix}, the reason to mend first on top. */
  async why(id, { signal } = {}) {
    return (await this.#http.call('GET', at(id, '/why'), { signal })).items;
  }

  /** Every start of it. */
  async attempts(id, { signal } = {}) {
    return (await this.#http.call('GET', at(id, '/attempts'), { signal })).items;
  }

  /** Up to limit lines of its log, those behind the line after. */
  async logs(id, { after = 0, limit = 200, signal } = {}) {
    return (await this.#http.call('GET', at(id, `/logs?after=${Number(after)}&limit=${Number(limit)}`), { signal })).items;
  }

  /** Publishes to a topic: a task for each subscription that matches. Returns the message and its tasks. requestId is the key of what has none. */
  async publish(topic, payload = {}, { idempotency_key, requestId, traceparent, signal } = {}) {
    const headers = { ...(requestId && { 'x-request-id': requestId }), ...(traceparent && { traceparent }) };
    const body = { payload, ...(idempotency_key && { idempotency_key }) };
    const repeatable = Boolean(idempotency_key || requestId);
    return this.#http.call('POST', `/v1/topics/${encodeURIComponent(topic)}/publish`, { body, headers, signal, repeatable });
  }

  /** One call, for what has no method here: the body of the answer, parsed. repeatable: it does no harm twice; by itself, what only reads. */
  async call(method, path, { body, headers, wait = 0, signal, repeatable } = {}) {
    return this.#http.call(method, path, { body, headers, wait: Math.min(wait, longestWait), signal, repeatable });
  }

  /** The right to end an attempt that was pushed and answered by 202: token is the delivery's lease. */
  lease(token) {
    return new Lease(this.#http, token);
  }

  /**
   * Follows one task, or up to 100, live: for await (const { event, id, data } of client.watch(id)). Ends when all are done. Connections that
   * break are opened again where they broke; after is an id of an event to go on behind.
   */
  watch(ids, { after, logs = true, signal } = {}) {
    const list = [ids].flat().map(String);
    if (list.length === 0) throw new TypeError('ids: the id of a task, or several');
    const query = new URLSearchParams(list.length > 1 ? list.map((id) => ['task', id]) : []);
    if (!logs) query.set('logs', 'false');
    const path = list.length > 1 ? '/v1/events' : at(list[0], '/events');
    return follow(this.#http, query.size > 0 ? `${path}?${query}` : path, { after, signal });
  }
}

function at(id, verb = '') {
  if (typeof id !== 'string' || id === '') throw new TypeError('id: the id of a task is needed');
  return `/v1/tasks/${encodeURIComponent(id)}${verb}`;
}
