// What leases have to tell the server: one request at a time, which takes along all that came meanwhile.
import { ConnectionError, ProblemError } from './errors.js';

const most = 100; // items of a request
const mostBytes = 4 * 1024 * 1024;

export class Outbox {
  #http;
  #signal;
  #items = [];
  #sending;

  /** signal ends what can't be delivered. */
  constructor(http, signal) {
    [this.#http, this.#signal] = [http, signal];
  }

  /** Sends one operation on a lease and returns its answer, or throws what was wrong with it. */
  send(lease, op, fields) {
    return new Promise((resolve, reject) => {
      this.#items.push({ lease, op, fields, size: JSON.stringify(fields).length, resolve, reject });
      this.#sending ??= this.#pump();
    });
  }

  /** When there is nothing left to send. */
  async empty() {
    while (this.#sending) await this.#sending;
  }

  async #pump() {
    await null; // so that all who speak in this turn travel together
    while (this.#items.length > 0) {
      let n = 1;
      for (let size = this.#items[0].size; n < Math.min(most, this.#items.length) && (size += this.#items[n].size) < mostBytes; n++);
      await this.#deliver(this.#items.splice(0, n));
    }
    this.#sending = undefined;
  }

  async #deliver(items) {
    if (items.length === 1) return this.#alone(items[0]);
    const body = { items: items.map(({ lease, op, fields }) => ({ lease, op, ...fields })) };
    let results;
    try {
      ({ results } = await this.#post('/v1/leases/batch', body));
      if (!Array.isArray(results)) throw new ConnectionError('POST /v1/leases/batch: what answers is no scheduler', true);
    } catch (error) {
      if (!(error instanceof ProblemError)) return items.forEach((item) => item.reject(error));
      for (const item of items) await this.#alone(item); // one of them spoils it for all
      return undefined;
    }
    items.forEach((item, i) => {
      const { status, ...answer } = results[i] ?? { status: 500, detail: 'no answer' };
      if (status < 300) item.resolve(answer);
      else item.reject(new ProblemError(status, answer));
    });
    return undefined;
  }

  async #alone({ lease, op, fields, resolve, reject }) {
    await this.#post(`/v1/leases/${lease}/${op}`, fields).then(resolve, reject);
  }

  async #post(path, body) {
    const answer = await this.#http.call('POST', path, { body, signal: this.#signal, repeatable: true, retries: Infinity });
    if (typeof answer !== 'object' || answer === null) throw new ConnectionError(`POST ${path}: what answers is no scheduler`, true);
    return answer;
  }
}
