// Holds push.js to the vectors that every language reads: node --test
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { BadDelivery, verify } from './push.js';

const vectors = JSON.parse(readFileSync(new URL('../../conformance/deliveries.json', import.meta.url)));
const at = { now: vectors.now };

test('valid', () => {
  assert.ok(vectors.valid.length >= 10);
  for (const v of vectors.valid) {
    for (const body of [v.body, Buffer.from(v.body)]) {
      const { lease, traceparent, ...task } = verify(body, v.headers, v.secrets, at);
      assert.deepEqual([lease, traceparent, task], ['AQ-lease', null, JSON.parse(v.body)], v.name);
    }
  }
});

test('invalid', () => {
  assert.ok(vectors.invalid.length >= 25);
  for (const v of vectors.invalid) {
    assert.throws(() => verify(v.body, v.headers, v.secrets, at), (error) => error instanceof BadDelivery && error.reason === v.reason, v.name);
  }
});

test('headers of all sorts', () => {
  const [v] = vectors.valid;
  const lists = Object.fromEntries(Object.entries(v.headers).map(([name, value]) => [name, [value]]));
  for (const headers of [new Headers(v.headers), new Map(Object.entries(v.headers)), lists]) {
    assert.equal(verify(v.body, headers, v.secrets[0], at).lease, 'AQ-lease');
  }
  assert.equal(verify(v.body, { ...v.headers, traceparent: '00-x' }, v.secrets, at).traceparent, '00-x');
});

test('what is no secret is the receiver\'s fault, not the sender\'s', () => {
  const [v] = vectors.valid;
  for (const bad of [...vectors.bad_secrets, undefined, null, 7, []]) assert.throws(() => verify(v.body, v.headers, bad, at), TypeError);
  assert.throws(() => verify(v.body, v.headers, [...v.secrets, ''], at), TypeError);
  assert.throws(() => verify(JSON.parse(v.body), v.headers, v.secrets, at), TypeError); // a framework that parsed it
});

test('bytes that are no UTF-8', () => {
  const body = Buffer.from([0x7b, 0xff, 0x7d]);
  assert.throws(() => verify(body, vectors.valid[0].headers, vectors.valid[0].secrets, at), { reason: 'signature' });
});

test('the time is that of the clock', () => {
  const [v] = vectors.valid;
  assert.throws(() => verify(v.body, v.headers, v.secrets, { ...at, toleranceSeconds: NaN }), { reason: 'timestamp' });
  assert.equal(verify(v.body, v.headers, v.secrets, { toleranceSeconds: 1e12 }).kind, 'mail.send');
});
