// Holds watch.js to the vectors that every language reads: node --test
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { derive, mint, verify } from './watch.js';

const vectors = JSON.parse(readFileSync(new URL('../../conformance/watch_tokens.json', import.meta.url)));
const keys = Object.fromEntries(Object.entries(vectors.keys).map(([id, hex]) => [id, Buffer.from(hex, 'hex')]));
const task = vectors.valid[0].task;

test('derive', () => {
  for (const v of vectors.derived) {
    if (v.secret === null) assert.throws(() => derive(v.token), v.token);
    else assert.equal(derive(v.token).toString('hex'), v.secret, v.token);
  }
});

test('valid', () => {
  assert.ok(vectors.valid.length >= 3);
  for (const v of vectors.valid) {
    assert.equal(mint(v.key, keys[v.key], v.task, v.expires_at, v.shows), v.token, v.name);
    assert.deepEqual(verify(v.token, keys, vectors.now), { keyId: v.key, taskId: v.task, expiresAt: v.expires_at, shows: v.shows }, v.name);
  }
});

test('invalid', () => {
  assert.ok(vectors.invalid.length >= 10);
  for (const v of vectors.invalid) assert.throws(() => verify(v.token, keys, vectors.now), { reason: v.reason }, v.name);
});

test('bad arguments', () => {
  for (const bad of [['', keys.k1, task, 1], ['a b', keys.k1, task, 1], ['k1', Buffer.from('short'), task, 1], ['k1', keys.k1, 'no uuid', 1],
    ['k1', keys.k1, task, -1], ['k1', keys.k1, task, NaN], ['k1', keys.k1, task, 1, ['payload']]]) {
    assert.throws(() => mint(...bad), RangeError);
  }
});
