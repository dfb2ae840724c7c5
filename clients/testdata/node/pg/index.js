// Stands for the package pg in tests: its arguments go to PostgreSQL as pg would send them, by way of the test.
const text = (value) => {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) return `{${value.map((v) => (v === null ? 'NULL' : JSON.stringify(String(v)))).join(',')}}`;
  if (value instanceof Date) return value.toISOString();
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
};

class Client {
  async connect() {}
  async end() {}
  async query(sql, values = []) {
    const response = await fetch(process.env.DATABASE_BRIDGE, { method: 'POST', body: JSON.stringify({ sql, values: values.map(text) }) });
    if (!response.ok) throw new Error(await response.text());
    return { rows: await response.json() };
  }
}

export default { Client };
