// Tasks that scheduler worker --push posts to a server of yours. See docs/guides/push.md.
//
//     const task = verify(await request.text(), request.headers, process.env.SCHEDULER_SECRET);
import { createHmac, timingSafeEqual } from 'node:crypto';

const needed = ['webhook-id', 'webhook-timestamp', 'webhook-signature'];

/** Thrown by verify: answer 401. reason: missing (a header), timestamp, signature or body. */
export class BadDelivery extends Error {
  constructor(reason, message) {
    super(message);
    this.name = 'BadDelivery';
    this.reason = reason;
  }
}

/**
 * The task in a request, with the header Scheduler-Lease as lease. body: as it came, to the last byte, as text or bytes; headers: those of fetch, of
 * node:http, or any object of names and values; secrets: whsec_…, or several while they are changed. Throws a BadDelivery for what was not signed
 * with one of them within toleranceSeconds of now (Unix seconds), and a TypeError for what is no secret, as an empty one.
 */
export function verify(body, headers, secrets, { toleranceSeconds = 300, now = Date.now() / 1000 } = {}) {
  const keys = [secrets].flat().map(keyOf);
  if (keys.length === 0) throw new TypeError('secrets: there is none');
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) throw new TypeError('body: as it came, a text or bytes, before anything parses it');
  const given = byName(headers);
  for (const name of needed) if (!given[name]) throw new BadDelivery('missing', `the request has no ${name}`);
  const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signatures } = given;
  if (!/^[0-9]{1,15}$/.test(at) || !(Math.abs(now - Number(at)) <= toleranceSeconds)) {
    throw new BadDelivery('timestamp', `the request was not made within ${toleranceSeconds} s of now; is the clock right?`);
  }
  const theirs = signatures.split(' ').map((signature) => Buffer.from(signature));
  const signed = keys.filter((key) => {
    const mine = Buffer.from(`v1,${createHmac('sha256', key).update(`${id}.${at}.`).update(body).digest('base64')}`);
    return theirs.filter((other) => other.length === mine.length && timingSafeEqual(other, mine)).length > 0;
  });
  if (signed.length === 0) throw new BadDelivery('signature', 'no signature of the request is by a secret of this endpoint');
  return { ...taskIn(body), lease: given['scheduler-lease'] ?? '', traceparent: given.traceparent ?? null };
}

function taskIn(body) {
  try {
    const task = JSON.parse(typeof body === 'string' ? body : new TextDecoder('utf-8', { fatal: true }).decode(body));
    if (typeof task.id === 'string' && typeof task.kind === 'string') return task;
  } catch { /* says no more than the next line */ }
  throw new BadDelivery('body', 'the body of the request is no task');
}

function keyOf(secret) {
  const text = typeof secret === 'string' && secret.startsWith('whsec_') ? secret.slice(6) : '';
  const key = Buffer.from(text, 'base64');
  if (key.toString('base64') !== text || key.length < 24 || key.length > 64) throw new TypeError('secrets: whsec_ and the base64 of 24 to 64 bytes');
  return key;
}

/** By names in lower case with - between words: as HTTP has them, or the environment (HTTP_WEBHOOK_ID). */
function byName(headers) {
  const list = {};
  const add = (value, name) => {
    const first = Array.isArray(value) ? value[0] : value;
    if (typeof first === 'string') list[name.toLowerCase().replaceAll('_', '-').replace(/^http-/, '')] = first;
  };
  if (typeof headers?.forEach === 'function') headers.forEach(add);
  else for (const [name, value] of Object.entries(headers ?? {})) add(value, name);
  return list;
}
