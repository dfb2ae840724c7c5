// What leases have to tell the server: one request at a time, which takes along all that came meanwhile.
import { ConnectionError, ProblemError } from './errors.js';
import { backoff, pause, worthwhile } from './http.js';

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
    for (let vain = 0; this.#items.length > 0;) {
      let n = 1;
      for (let size = this.#items[0].size; n < Math.min(most, this.#items.length) && (size += this.#items[n].size) < mostBytes; n++);
      const again = await this.#deliver(this.#items.splice(0, n));
      if (again.size === 0) {
        vain = 0;
        continue;
      }
      this.#items.unshift(...again.keys()); // and with them what comes meanwhile: one whose row is locked holds up no other
      const asked = Math.max(0, ...[...again.values()].map((error) => error.retryAfterMs ?? 0));
      await pause(asked || backoff(vain++), this.#signal).catch(() => {}); // then the next try ends it
    }
    this.#sending = undefined;
  }

  /** Returns what can't be served now, with the errors that say so. */
  async #deliver(items) {
    const again = new Map();
    const failed = (item, error) => (worthwhile(error, true) && !(error instanceof NoScheduler) ? again.set(item, error) : item.reject(error));
    const alone = (item) => this.#post(`/v1/leases/${item.lease}/${item.op}`, item.fields).then(item.resolve, (error) => failed(item, error));
    if (items.length === 1) {
      await alone(items[0]);
      return again;
    }
    const path = '/v1/leases/batch';
    try {
      const { results } = await this.#post(path, { items: items.map(({ lease, op, fields }) => ({ lease, op, ...fields })) });
      if (!Array.isArray(results)) throw new NoScheduler(path);
      items.forEach((item, i) => {
        const { status, ...answer } = results[i] ?? { status: 500, detail: 'no answer' };
        if (status < 300) item.resolve(answer);
        else failed(item, new ProblemError(status, answer));
      });
    } catch (error) {
      const spoilt = error instanceof ProblemError && !worthwhile(error, true); // by one of them, for all
      for (const item of items) await (spoilt ? alone(item) : failed(item, error));
    }
    return again;
  }

  async #post(path, body) {
    const answer = await this.#http.call('POST', path, { body, signal: this.#signal, repeatable: true, retries: 0 });
    if (typeof answer !== 'object' || answer === null) throw new NoScheduler(path);
    return answer;
  }
}

class NoScheduler extends ConnectionError {
  constructor(path) {
    super(`POST ${path}: what answers is no scheduler`, true);
  }
}
