// Watch URLs: a browser follows one task at /watch/{token} without an API token. See docs/guides/watch-urls.md.
//
//     const key = derive(process.env.SCHEDULER_TOKEN);
//     const url = 'https://jobs.example.org/watch/' + mint(derivedId, key, taskId, Date.now() / 1000 + 86400);
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';

const plain = 1;
const showing = 2;
const shown = { lines: 1, result: 2 };
const leastSecret = 32;
const leastToken = 16;

/** Id of the key that a server derives from its API token. */
export const derivedId = 'd1';

/** The key of a server that has an API token and no SCHEDULER_WATCH_KEYS: 32 bytes, its id is derivedId. */
export function derive(apiToken) {
  if (Buffer.byteLength(apiToken) < leastToken) {
    throw new RangeError('an API token of less than 16 bytes is too short to derive a key from');
  }
  return Buffer.from(hkdfSync('sha256', apiToken, '', 'scheduler watch v1', leastSecret));
}

/**
 * A token for one task: secret is raw bytes, at least 32; taskId a UUID; expiresAt Unix seconds; shows, what it shows besides how
 * far the task is and how it ended: 'lines' (the log), 'result'. Throws for what no server takes.
 */
export function mint(keyId, secret, taskId, expiresAt, shows = []) {
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(keyId)) throw new RangeError('the id of a watch key is 1 to 32 letters, digits, _ and -');
  if (secret.length < leastSecret) throw new RangeError('the secret of a watch key has at least 32 bytes');
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(taskId)) throw new RangeError('the id of a task is a UUID');
  if (!(expiresAt >= 0 && expiresAt <= Number.MAX_SAFE_INTEGER)) throw new RangeError('the time to expire is in seconds since 1970');
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(BigInt(Math.floor(expiresAt)));
  if (!shows.every((show) => Object.hasOwn(shown, show))) throw new RangeError('a watch token shows lines and result');
  const bits = shows.reduce((sum, show) => sum | shown[show], 0);
  const signed = Buffer.concat([Buffer.from([bits ? showing : plain, keyId.length]), Buffer.from(keyId),
    Buffer.from(taskId.replaceAll('-', ''), 'hex'), time, Buffer.from(bits ? [bits] : [])]);
  return Buffer.concat([signed, sign(secret, signed)]).toString('base64url');
}

/**
 * What a token stands for: {keyId, taskId, expiresAt, shows}. keys: secrets by key id; now: Unix seconds. Throws an Error whose reason is
 * malformed, version, key, signature or expired.
 */
export function verify(token, keys, now = Date.now() / 1000) {
  const bytes = Buffer.from(token, 'base64url');
  if (bytes.length < 2 || bytes.toString('base64url') !== token) refuse('malformed');
  if (bytes[0] !== plain && bytes[0] !== showing) refuse('version');
  const n = 2 + bytes[1], signs = n + 24 + (bytes[0] === showing ? 1 : 0);
  if (bytes.length !== signs + 32) refuse('malformed');
  const keyId = bytes.toString('latin1', 2, n);
  if (!Object.hasOwn(keys, keyId)) refuse('key');
  const signed = bytes.subarray(0, signs);
  if (!timingSafeEqual(sign(keys[keyId], signed), bytes.subarray(signs))) refuse('signature');
  const bits = bytes[0] === showing ? bytes[n + 24] : null;
  if (bits === 0 || bits > 3) refuse('malformed');
  const expiresAt = Number(bytes.readBigUInt64BE(n + 16));
  if (expiresAt <= now) refuse('expired');
  const taskId = bytes.toString('hex', n, n + 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  return { keyId, taskId, expiresAt, shows: Object.keys(shown).filter((show) => bits & shown[show]) };
}

function sign(secret, signed) {
  return createHmac('sha256', secret).update(signed).digest();
}

function refuse(reason) {
  throw Object.assign(new Error('the watch token is no good: ' + reason), { reason });
}
