// The right to end one attempt, for who answered a delivery by 202.
import { failure } from './attempt.js';

export class Lease {
  #http;
  #path;

  constructor(http, token) {
    if (typeof token !== 'string' || token === '') throw new TypeError('lease: the header Scheduler-Lease of a delivery is needed');
    [this.#http, this.#path] = [http, `/v1/leases/${encodeURIComponent(token)}`];
  }

  /** The task is done. Returns its state. */
  async complete(result = null, { signal } = {}) {
    return (await this.#call('complete', { result }, signal)).state;
  }

  /** The attempt has failed. An error means what it means in a handler: PermanentError, RetryAfter and Snooze too. Returns the task's state. */
  async fail(error, { signal } = {}) {
    const { op, ...fields } = failure(error);
    return (await this.#call(op, fields, signal)).state;
  }

  /** Hands the task back, at once or for later, which counts as no failure. Returns its state. */
  async release({ delayMs = 0, reason, signal } = {}) {
    return (await this.#call('release', { ...(delayMs > 0 && { delay_ms: Math.round(delayMs) }), ...(reason && { reason }) }, signal)).state;
  }

  /** Says how the work goes on: {progress, logs, checkpoint}. Returns {cancelled, expires_at}. */
  async heartbeat({ progress, logs, checkpoint, signal } = {}) {
    const { cancelled, expires_at } = await this.#call('heartbeat', { progress, logs, checkpoint }, signal);
    return { cancelled, expires_at };
  }

  #call(op, body, signal) {
    return this.#http.call('POST', `${this.#path}/${op}`, { body, signal, repeatable: true });
  }
}
