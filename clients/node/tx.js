// Submits in the app's own transaction, by any client with query(text, values): pg's Client or PoolClient, and what is made like them.

const types = {
  kind: 'text', payload: 'jsonb', queue: 'text', priority: 'integer', run_at: 'timestamptz', delay_ms: 'bigint', max_attempts: 'integer',
  timeout_ms: 'bigint', expires_at: 'timestamptz', unique_key: 'text', idempotency_key: 'text', backoff_ms: 'bigint[]', tags: 'text[]',
  traceparent: 'text',
};

/** Submits a task in the transaction that db is in, and returns its id. Its names are those of scheduler.submit's arguments. */
export async function submitTx(db, task) {
  const given = Object.entries(task).filter(([, value]) => value !== undefined && value !== null);
  for (const [name] of given) {
    if (!Object.hasOwn(types, name)) throw new TypeError(`${name}: no argument of scheduler.submit, which has ${Object.keys(types).join(', ')}`);
  }
  const names = given.map(([name], i) => `${name} => $${i + 1}::${types[name]}`);
  const values = given.map(([name, value]) => (name === 'payload' ? JSON.stringify(value) : value));
  if ('payload' in task && task.payload === null) { // JSON's null is a payload
    names.push(`payload => $${values.push('null')}::jsonb`);
  }
  return first(await db.query(`select scheduler.submit(${names.join(', ')}) as id`, values)).id;
}

/** Publishes to a topic in the transaction that db is in, and returns the message's id. */
export async function publishTx(db, topic, payload = {}, { idempotency_key = null, traceparent = null } = {}) {
  const text = 'select scheduler.publish($1::text, $2::jsonb, $3::text, $4::text)::text as id';
  return first(await db.query(text, [topic, JSON.stringify(payload), idempotency_key, traceparent])).id;
}

const first = (answer) => (answer.rows ?? answer)[0];
