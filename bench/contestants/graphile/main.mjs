// graphile-worker: completed jobs are deleted, so there is no history.
import pg from 'pg'
import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import { contestant } from '../node/contestant.mjs'

const silent = new Logger(() => () => {})

await contestant(pg, async (url, setup) => {
  const pool = new pg.Pool({ connectionString: url, max: 30 })
  pool.on('error', err => {
    console.error(err)
    process.exit(1)
  })
  const preset = {
    worker: {
      concurrentJobs: 24,
      localQueue: { size: Math.max(25, setup.slots) },
      completeJobBatchDelay: 0
    }
  }
  const utils = await makeWorkerUtils({ pgPool: pool, logger: silent })
  await utils.migrate()
  return {
    insert: n => utils.addJobs(Array.from({ length: n }, () => ({ identifier: 'noop', payload: { at: 0, pad: setup.pad } }))),
    submit: at => utils.addJob('noop', { at, pad: setup.pad }),
    async work(handle) {
      const runner = await run({
        preset,
        pgPool: pool,
        logger: silent,
        noHandleSignals: true,
        taskList: { noop: async payload => handle(payload.at) }
      })
      return () => runner.stop()
    },
    unfinished: async () => Number((await pool.query('select count(*) as n from graphile_worker._private_jobs')).rows[0].n),
    analyze: () => pool.query('analyze'),
    async close() {
      await utils.release()
      await pool.end()
    }
  }
})
