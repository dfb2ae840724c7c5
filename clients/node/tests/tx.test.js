import assert from 'node:assert/strict';
import test from 'node:test';
import { publishTx, submitTx } from '../index.js';

const db = { async query(text, values) { return { rows: [{ id: 'the id', text, values }] }; } };
const last = { async query(text, values) { Object.assign(last, { text, values }); return [{ id: 'the id' }]; } };

test('submitTx names the arguments that it has', async () => {
  assert.equal(await submitTx(last, { kind: 'a', payload: { b: [1] }, queue: undefined, run_at: null, delay_ms: 5, tags: ['x'], traceparent: '00-…' }), 'the id');
  assert.equal(last.text, 'select scheduler.submit(kind => $1::text, payload => $2::jsonb, delay_ms => $3::bigint, tags => $4::text[], traceparent => $5::text) as id');
  assert.deepEqual(last.values, ['a', '{"b":[1]}', 5, ['x'], '00-…']);
});

test('null and texts are payloads too', async () => {
  await submitTx(last, { kind: 'a', payload: null });
  assert.deepEqual([last.text, last.values], ['select scheduler.submit(kind => $1::text, payload => $2::jsonb) as id', ['a', 'null']]);
  await submitTx(last, { kind: 'a', payload: 'text' });
  assert.deepEqual(last.values, ['a', '"text"']);
});

test('a name that is no argument never reaches the database', async () => {
  await assert.rejects(submitTx(db, { kind: 'a', 'queue) as id; drop table x; --': 1 }), TypeError);
  await assert.rejects(submitTx(db, { kind: 'a', toString: 1 }), TypeError);
});

test('publishTx', async () => {
  assert.equal(await publishTx(last, 'order.paid', { order: 7 }, { idempotency_key: 'k', traceparent: '00-…' }), 'the id');
  assert.deepEqual([last.text, last.values], ['select scheduler.publish($1::text, $2::jsonb, $3::text, $4::text)::text as id', ['order.paid', '{"order":7}', 'k', '00-…']]);
});
