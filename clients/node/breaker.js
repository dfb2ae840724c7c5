// Spares a server that does not answer: after some failures in a row nothing is asked for a while, then one request is tried.
import { CircuitOpen } from './errors.js';

export class Breaker {
  #failures = 0;
  #until = -Infinity;

  /** failures in a row that open it, 0: never; pauseMs without a request. */
  constructor({ failures = 5, pauseMs = 10_000 } = {}) {
    if (!(failures >= 0 && pauseMs >= 0)) throw new RangeError('circuit: failures and pauseMs are 0 or more');
    this.most = failures;
    this.pauseMs = pauseMs;
  }

  /** Throws a CircuitOpen when nothing is to be asked. */
  pass() {
    const now = performance.now();
    if (now < this.#until) throw new CircuitOpen(Math.ceil(this.#until - now));
    if (this.#until > -Infinity) this.#until = now + this.pauseMs; // this request is the trial; the others wait for how it ends
  }

  succeeded() {
    this.#failures = 0;
    this.#until = -Infinity;
  }

  failed() {
    if (++this.#failures >= this.most && this.most > 0) this.#until = performance.now() + this.pauseMs;
  }
}
