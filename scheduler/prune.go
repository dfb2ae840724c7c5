package scheduler

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// pruneEvery is how often what is old is looked for.
const pruneEvery = time.Hour

// askPrune removes what nobody needs any more: counts after 7 days, actions and bulks that are over after 90.
func (c *Client) askPrune(batch *pgx.Batch) func(context.Context) (time.Duration, error) {
	more := false
	for _, statement := range []string{sql.StatsPrune, sql.AuditPrune, sql.BulkPrune} {
		batch.Queue(statement, maintainBatch).Query(func(rows pgx.Rows) error {
			rows.Close()
			more = more || rows.CommandTag().RowsAffected() >= maintainBatch
			return rows.Err()
		})
	}
	return func(context.Context) (time.Duration, error) {
		if more {
			return 0, nil
		}
		return pruneEvery, nil
	}
}
