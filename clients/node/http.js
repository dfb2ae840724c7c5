// One way to the server: requests, problems, repetitions.
import { setTimeout as sleep } from 'node:timers/promises';
import { CircuitOpen, ConnectionError, ProblemError } from './errors.js';

const longestPause = 5000;
// Nothing can have been sent.
const unsent = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);

export class Transport {
  constructor({ url = process.env.SCHEDULER_URL, token = process.env.SCHEDULER_TOKEN, timeoutMs = 30_000, retries = 4, breaker } = {}) {
    if (!url) throw new TypeError('url: the address of the server is needed, here or as SCHEDULER_URL');
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) throw new TypeError(`url: ${hidden(url)} is no address of a server, as http://127.0.0.1:8080`);
    const { href, username, password } = new URL(url);
    if (username || password) throw new TypeError('url: without user and password; the token is given as token, or SCHEDULER_TOKEN');
    if (token && !/^[\x21-\x7e]+$/.test(token)) throw new TypeError('token: it has a character that no token has, such as a space or an end of line');
    this.base = href.replace(/\/+$/, '');
    this.headers = token ? { authorization: `Bearer ${token}` } : {};
    this.timeoutMs = timeoutMs;
    this.retries = retries;
    this.breaker = breaker;
  }

  /**
   * The body of the answer, parsed; null where there is none. What is repeatable is sent again when no answer came or the server can't
   * serve now; all else only when nothing can have been sent. A body that is a function is made anew for each try.
   */
  async call(method, path, { body, headers, wait = 0, signal, repeatable = method === 'GET', retries = this.retries } = {}) {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#guarded(method, path, typeof body === 'function' ? body() : body, { ...headers, ...(wait > 0 && { prefer: `wait=${Math.ceil(wait)}` }) }, wait, signal);
      } catch (error) {
        if (signal?.aborted || attempt >= retries || !worthwhile(error, repeatable)) throw error;
        if (error.retryAfterMs > longestPause) throw error; // whoever called knows better what to do meanwhile
        await pause(error.retryAfterMs ?? backoff(attempt), signal);
      }
    }
  }

  async #guarded(...request) {
    this.breaker?.pass();
    try {
      const body = await this.#once(...request);
      this.breaker?.succeeded();
      return body;
    } catch (error) {
      if (error instanceof ConnectionError || (error instanceof ProblemError && [502, 503, 504].includes(error.status))) this.breaker?.failed();
      else if (error instanceof ProblemError) this.breaker?.succeeded(); // an answer
      throw error;
    }
  }

  async #once(method, path, body, headers, wait, signal) {
    const stop = new AbortController(); // of its own: what AbortSignal.any makes lives as long as the caller's signal
    const onAbort = () => stop.abort(signal.reason);
    signal?.throwIfAborted();
    signal?.addEventListener('abort', onAbort);
    const late = setTimeout(() => stop.abort(new Error('no answer in time')), this.timeoutMs + 1000 * wait);
    let response, text;
    try {
      response = await this.open(method, path, { body, headers, signal: stop.signal });
      text = await response.text();
    } catch (error) {
      signal?.throwIfAborted();
      throw response === undefined ? error : new ConnectionError(`${method} ${this.base}${path}: the answer broke off: ${reason(error)}`, true, error);
    } finally {
      clearTimeout(late);
      signal?.removeEventListener('abort', onAbort);
    }
    if (!response.ok) throw problem(response, text);
    try {
      return text === '' ? null : JSON.parse(text);
    } catch (error) {
      throw new ConnectionError(`${method} ${this.base}${path}: the answer is no JSON: ${error.message}`, true, error);
    }
  }

  /** The answer as fetch has it. Throws a ConnectionError when none comes. */
  async open(method, path, { body, headers, signal }) {
    const content = body === undefined ? {} : { 'content-type': 'application/json' };
    const text = body === undefined ? undefined : JSON.stringify(body); // throws a TypeError for what JSON has no form for
    try {
      return await fetch(this.base + path, { method, signal, redirect: 'manual', headers: { ...this.headers, ...content, ...headers }, body: text });
    } catch (error) {
      if (error instanceof TypeError && !error.cause) throw error; // a bad header, the caller's fault
      throw new ConnectionError(`${method} ${this.base}${path}: ${reason(error)}`, !unsent.has(error.cause?.code), error);
    }
  }
}

/** The error that an answer stands for. */
export function problem(response, text) {
  let fields = {};
  try {
    fields = JSON.parse(text) ?? {};
  } catch {
    fields = { detail: text.trim().slice(0, 500) || undefined }; // from a proxy in between
  }
  const to = response.headers.get('location');
  if (response.status < 400 && to) fields = { code: 'redirected', detail: `the server redirects to ${hidden(to)}; give the address behind it as url, or SCHEDULER_URL` };
  const error = new ProblemError(response.status, fields);
  const after = Number(response.headers.get('retry-after'));
  if (after > 0) error.retryAfterMs = Math.min(after, 60) * 1000;
  return error;
}

/** An address as messages may show it. */
const hidden = (url) => String(url).replace(/\/\/[^/@]*@/, '//…@').slice(0, 200);

/** How long to wait after so many tries in vain. */
export const backoff = (vain) => Math.min(longestPause, 100 * 2 ** Math.min(vain, 10)) * (0.5 + Math.random() / 2);

/** Waits, or throws the signal's reason. */
export async function pause(milliseconds, signal) {
  await sleep(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
}

/** Whether to ask again: nothing came, or the server can't serve now. */
export function worthwhile(error, repeatable) {
  if (error instanceof CircuitOpen) return false;
  if (error instanceof ConnectionError) return repeatable || !error.sent;
  return error instanceof ProblemError && repeatable && [408, 425, 429, 502, 503, 504].includes(error.status);
}

const reason = (error) => (error.cause?.message || error.cause?.code || error.message).trim();
