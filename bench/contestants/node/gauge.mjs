// What a run costs, measured as internal/load/gauge.go does: PostgreSQL's CPU from /proc, WAL, HOT updates, steal.
import { readFileSync, readdirSync } from 'node:fs'
import { performance } from 'node:perf_hooks'

const tickUS = 10_000 // unit of CPU times in /proc/*/stat
const reading = `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as wal,
  (d.xact_commit + d.xact_rollback)::float8 as transactions
  from pg_stat_database d where d.datname = current_database()`
const updates = `select coalesce(sum(n_tup_upd), 0)::float8 as all, coalesce(sum(n_tup_hot_upd), 0)::float8 as hot from pg_stat_user_tables`
const others = `select count(*)::int as n from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`

export const pause = ms => new Promise(resolve => setTimeout(resolve, ms))
export const figure = v => Number(v.toPrecision(4))

export async function openGauge(pg, url) {
  const client = new pg.Client({ connectionString: url, application_name: 'bench gauge' })
  await client.connect()
  const row = async sql => (await client.query(sql)).rows[0]
  const { pid, local } = await row('select pg_backend_pid() as pid, coalesce(inet_client_addr() = inet_server_addr(), true) as local')
  const postmaster = local ? parentOf(pid) : 0
  const company = (await row(others)).n

  async function read() {
    return { server: serverCPU(postmaster), ...(await row(reading)) }
  }
  return {
    client,
    async begin() {
      const before = { ...(await read()), updates: await row(updates), host: host(), client: process.cpuUsage() }
      return { before, at: performance.now() }
    },
    async end({ before, at }) {
      const seconds = (performance.now() - at) / 1000
      const client = process.cpuUsage(before.client)
      const now = host()
      const after = await read()
      return {
        seconds,
        client: client.user + client.system,
        server: postmaster ? after.server - before.server : undefined,
        steal: now && now.all > before.host.all ? figure((100 * (now.stolen - before.host.stolen)) / (now.all - before.host.all)) : undefined,
        wal: after.wal - before.wal,
        transactions: Math.max(0, after.transactions - before.transactions - 2),
        updates: before.updates
      }
    },
    // Which percentage of the updates was heap-only; for when those who updated have closed their connections.
    async hot(usage) {
      for (let i = 0; i < 150 && (await row(others)).n > company; i++) await pause(20)
      const now = await row(updates)
      const all = now.all - usage.updates.all
      return all > 0 ? figure((100 * (now.hot - usage.updates.hot)) / all) : undefined
    },
    close: () => client.end()
  }
}

function stat(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [utime, stime, cutime, cstime] = fields.slice(11, 15).map(Number)
  return { parent: Number(fields[1]), own: (utime + stime) * tickUS, children: (cutime + cstime) * tickUS }
}

// The postmaster of a backend, 0 when it is not among this machine's processes.
function parentOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('postgres:') ? stat(pid).parent : 0
  } catch {
    return 0
  }
}

function serverCPU(postmaster) {
  if (!postmaster) return 0
  const { own, children } = stat(postmaster)
  let total = own + children
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    try {
      const child = stat(pid)
      if (child.parent === postmaster) total += exact(pid) || child.own
    } catch {
      // it ended meanwhile
    }
  }
  return total
}

function exact(pid) {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000
  } catch {
    return 0
  }
}

function host() {
  try {
    const fields = readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).slice(1, 9).map(Number)
    return { all: fields.reduce((a, b) => a + b, 0), stolen: fields[7] }
  } catch {
    return undefined
  }
}
