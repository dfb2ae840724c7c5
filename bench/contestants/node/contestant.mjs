// The command line and the workloads that all contestants have, as internal/load does them in Go.
//
//   node main.mjs WORKLOAD --database-url URL [--tasks N] [--clients N,N] [--seconds N] [--concurrency N] [--payload N] -o json
//
// A contestant calls contestant(pg, open); open(url, setup) returns a subject: insert(n), submit(at), work(handle) → stop,
// unfinished(all), analyze(), close().
import { parseArgs } from 'node:util'
import { performance } from 'node:perf_hooks'
import { figure, openGauge, pause } from './gauge.mjs'

const batch = 1000 // tasks of one insert
const ahead = 20_000 // tasks inserted and not run yet in e2e, at most
const every = 10 // ms between two submits of latency
const bloatMost = 180_000 // ms of work under a held snapshot
const settling = 11 // seconds until PostgreSQL has counted what silent connections did

export async function contestant(pg, open) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'database-url': { type: 'string' },
      tasks: { type: 'string', default: '0' },
      clients: { type: 'string', default: '1,8,32,128' },
      seconds: { type: 'string', default: '0' },
      concurrency: { type: 'string', default: '0' },
      payload: { type: 'string', default: '100' },
      output: { type: 'string', short: 'o', default: 'json' }
    }
  })
  const [name] = positionals
  const workload = { submit, drain, e2e, latency, idle, bloat }[name]
  if (!workload) throw new Error(`there is no workload ${name}`)
  const url = values['database-url']
  const number = flag => Number(values[flag])
  const run = {
    name,
    pg,
    url,
    tasks: number('tasks'),
    seconds: number('seconds'),
    slots: number('concurrency'),
    clients: values.clients.split(',').map(Number),
    payload: number('payload'),
    gauge: await openGauge(pg, url),
    open: (clients = 1) => open(url, { slots: run.slots || 2000, clients, payload: run.payload, pad: padding(run.payload) }),
    emit: result => console.log(JSON.stringify({ workload: name, ...result }))
  }
  await workload(run)
  await run.gauge.close()
  process.exit(0) // whatever timers the contestant has left
}

// Letters and digits in an order that does not compress; the same in all contestants.
function padding(size) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const mask = (1n << 64n) - 1n
  let x = 0x9e3779b97f4a7c15n
  let pad = ''
  for (let i = 0; i < size - 26; i++) {
    x ^= (x << 13n) & mask
    x ^= x >> 7n
    x ^= (x << 17n) & mask
    pad += alphabet[Number(x % 64n)]
  }
  return pad
}

function rate(tasks, seconds) {
  return { tasks, seconds: figure(seconds), per_second: figure(tasks / seconds) }
}

function perTask(tasks, usage) {
  return {
    server_cpu_us_per_task: usage.server === undefined ? undefined : figure(usage.server / tasks),
    client_cpu_us_per_task: figure(usage.client / tasks),
    wal_bytes_per_task: figure(usage.wal / tasks),
    steal_percent: usage.steal
  }
}

function percentiles(took) {
  const sorted = Float64Array.from(took).sort()
  const at = percent => figure(sorted[Math.max(1, Math.ceil((sorted.length * percent) / 100)) - 1])
  return sorted.length ? { p50_ms: at(50), p95_ms: at(95), p99_ms: at(99) } : {}
}

// Counts handlers; reach(goal) resolves once as many were counted.
function tally() {
  let goal = Infinity
  let reached = () => {}
  const t = {
    n: 0,
    add() {
      t.n++
      if (t.n >= goal) reached()
    },
    reach: n =>
      new Promise(resolve => {
        goal = n
        reached = resolve
        if (t.n >= n) resolve()
      })
  }
  return t
}

// Resolves to whether all was completed before so many milliseconds had passed.
async function finish(t, subject, goal, most) {
  const reached = t.reach(goal).then(() => true)
  if (!(await (most ? Promise.race([reached, pause(most).then(() => false)]) : reached))) return false
  while ((await subject.unfinished(false)) > 0) await pause(5)
  return true
}

async function verify(subject, t, goal) {
  const left = await subject.unfinished(true)
  if (left > 0) throw new Error(`${left} of ${goal} tasks are not completed`)
  return t.n === goal ? {} : { notes: [`handlers were called ${t.n} times for ${goal} tasks`] }
}

async function fill(subject, n) {
  for (let left = n; left > 0; left -= batch) await subject.insert(Math.min(batch, left))
}

async function submit(run) {
  const seconds = run.seconds || 5
  for (const clients of run.clients) {
    const subject = await run.open(clients)
    await subject.submit(0)
    const span = await run.gauge.begin()
    const end = performance.now() + seconds * 1000
    const took = []
    let begun = 0
    const client = async () => {
      while (performance.now() < end && !(run.tasks && begun >= run.tasks)) {
        begun++
        const at = performance.now()
        await subject.submit(0)
        took.push(performance.now() - at)
      }
    }
    await Promise.all(Array.from({ length: clients }, client))
    const usage = await run.gauge.end(span)
    await subject.close()
    run.emit({ case: `clients=${clients}`, ...rate(took.length, usage.seconds), ...percentiles(took), ...perTask(took.length, usage) })
  }
}

async function drain(run) {
  const tasks = run.tasks || 100_000
  const subject = await run.open()
  const span = await run.gauge.begin()
  await fill(subject, tasks)
  const usage = await run.gauge.end(span)
  run.emit({ case: 'insert', ...rate(tasks, usage.seconds), ...perTask(tasks, usage) })
  run.emit({ case: 'work', ...(await workOff(run, subject, tasks, tally())) })
}

async function workOff(run, subject, tasks, t, most) {
  const span = await run.gauge.begin()
  t.began = performance.now()
  const stop = await subject.work(() => t.add())
  const ended = await finish(t, subject, tasks, most)
  const done = ended ? tasks : t.n
  const usage = await run.gauge.end(span)
  await stop()
  const odd = ended ? await verify(subject, t, tasks) : { notes: [`stopped after ${most / 60_000}m0s: ${done} of ${tasks} tasks`] }
  await subject.close()
  return { ...rate(done, usage.seconds), ...perTask(done, usage), hot_percent: await run.gauge.hot(usage), ...odd }
}

async function e2e(run) {
  for (const name of ['cold', 'analyzed']) {
    const subject = await run.open()
    if (name === 'analyzed') await subject.analyze()
    const span = await run.gauge.begin()
    const t = tally()
    const stop = await subject.work(() => t.add())
    let inserted = 0
    const end = performance.now() + (run.seconds || 20) * 1000
    while (performance.now() < end) {
      const n = run.tasks ? Math.min(batch, run.tasks - inserted) : batch
      if (n === 0) break
      if (inserted - t.n > ahead - batch) {
        await pause(1)
        continue
      }
      await subject.insert(n)
      inserted += n
    }
    await finish(t, subject, inserted)
    const usage = await run.gauge.end(span)
    await stop()
    const odd = await verify(subject, t, inserted)
    await subject.close()
    run.emit({ case: name, ...rate(inserted, usage.seconds), ...perTask(inserted, usage), hot_percent: await run.gauge.hot(usage), ...odd })
  }
}

async function latency(run) {
  run.emit(await pacedLatency(run))
}

// A hundred submits a second, whatever the answers take, to a worker that has nothing else to do.
async function pacedLatency(run) {
  run.slots ||= 10
  const subject = await run.open()
  const goal = ((run.seconds || 10) * 1000) / every
  const t = tally()
  const took = []
  const stop = await subject.work(at => {
    if (at) took.push(performance.now() - at / 1e6)
    t.add()
  })
  await subject.submit(0)
  await t.reach(1)
  const span = await run.gauge.begin()
  const began = performance.now()
  const submits = []
  for (let i = 1; i <= goal; i++) {
    const wait = began + i * every - performance.now()
    if (wait > 0) await pause(wait)
    submits.push(subject.submit(Math.round(performance.now() * 1e6)))
  }
  await Promise.all(submits)
  await finish(t, subject, goal + 1)
  const usage = await run.gauge.end(span)
  await stop()
  await subject.close()
  return { ...rate(goal, usage.seconds), ...percentiles(took), ...perTask(goal, usage) }
}

async function idle(run) {
  run.slots ||= 10
  const seconds = run.seconds || 30
  const subject = await run.open()
  const stop = await subject.work(() => {})
  await pause(Math.min(settling, seconds) * 1000)
  const span = await run.gauge.begin()
  await pause(seconds * 1000)
  const usage = await run.gauge.end(span)
  await stop()
  await subject.close()
  run.emit({
    tasks: 0,
    seconds: figure(usage.seconds),
    transactions_per_second: figure(usage.transactions / usage.seconds),
    server_cpu_percent: usage.server === undefined ? undefined : figure(usage.server / usage.seconds / 10_000),
    client_cpu_percent: figure(usage.client / usage.seconds / 10_000),
    wal_bytes_per_second: figure(usage.wal / usage.seconds),
    steal_percent: usage.steal
  })
}

async function bloat(run) {
  const tasks = run.tasks || 500_000
  run.slots ||= 100
  run.emit({ case: 'before', ...(await pacedLatency(run)) })
  const holder = new run.pg.Client({ connectionString: run.url })
  await holder.connect()
  await holder.query('begin isolation level repeatable read')
  const oldest = async () => (await holder.query('select backend_xmin::text as x from pg_stat_activity where pid = pg_backend_pid()')).rows[0].x
  const first = await oldest()
  const subject = await run.open()
  await fill(subject, tasks)
  const t = tally()
  const slice = Math.max(1, Math.floor(tasks / 10))
  const slices = []
  let before
  const add = t.add
  t.add = () => {
    add()
    if (t.n % slice === 0 && slices.length < 10) {
      const now = performance.now()
      slices.push(figure(slice / ((now - (before ?? t.began)) / 1000)))
      before = now
    }
  }
  const worked = await workOff(run, subject, tasks, t, bloatMost)
  run.emit({ case: 'work', ...worked, slices_per_second: slices })
  if (t.n >= tasks) run.emit({ case: 'after', ...(await pacedLatency(run)) })
  if ((await oldest()) !== first) throw new Error('the snapshot was not held to the end')
  await holder.end()
}
