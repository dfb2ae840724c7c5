// pg-boss: a thousand jobs a fetch, two fetch loops, woken by NOTIFY.
import pg from 'pg'
import { PgBoss } from 'pg-boss'
import { contestant } from '../node/contestant.mjs'

const queue = 'noop'
const newest = `select count(*)::int as n from (select state from pgboss.job where name = $1 order by created_on desc limit 25000) j where state <> 'completed'`
const all = `select count(*)::int as n from pgboss.job where name = $1 and state <> 'completed'`

await contestant(pg, async (url, setup) => {
  const boss = new PgBoss({ connectionString: url, max: 10, useListenNotify: true })
  boss.on('error', err => {
    console.error(err)
    process.exit(1)
  })
  await boss.start()
  await boss.createQueue(queue, { notify: true })
  const pool = new pg.Pool({ connectionString: url, max: 1 })
  return {
    insert: n => boss.insert(queue, Array.from({ length: n }, () => ({ data: { at: 0, pad: setup.pad } }))),
    submit: at => boss.send(queue, { at, pad: setup.pad }),
    async work(handle) {
      const options = {
        batchSize: Math.min(1000, setup.slots),
        localConcurrency: 2,
        burstWhenBatchFull: true,
        pollingIntervalSeconds: 0.5,
        notifyPollingIntervalSeconds: 0.5
      }
      await boss.work(queue, options, async jobs => {
        for (const job of jobs) handle(job.data.at)
      })
      return () => boss.offWork(queue)
    },
    unfinished: async every => (await pool.query(every ? all : newest, [queue])).rows[0].n,
    analyze: () => pool.query('analyze'),
    async close() {
      await pool.end()
      await boss.stop({ graceful: false })
    }
  }
})
