// Command storage measures what ways to store tasks cost PostgreSQL: fillfactors, indexes, types of the payload, deletion on
// completion. It compares variants of the schema and the statements on a private PostgreSQL, one connection, in turns, and prints
// µs of CPU of that connection's backend, bytes of WAL and the share of heap-only updates. Linux only: the CPU comes from /proc.
//
//	go run ./storage [-tasks 60000] [-rounds 3]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgscheduler/scheduler/internal/load"
	"github.com/pgscheduler/scheduler/internal/privatepg"
	"github.com/pgscheduler/scheduler/migrations"
)

const (
	inserted = 1000 // tasks of one statement
	leased   = 500
)

func main() {
	tasks := flag.Int("tasks", 60_000, "tasks of each run, in thousands")
	rounds := flag.Int("rounds", 3, "how often each variant is run")
	flag.Parse()
	if *tasks < inserted || *rounds < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "want -tasks of 1000 and more, -rounds of 1 and more, and nothing else")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *tasks/inserted*inserted, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// cost of one run, by task.
type cost struct{ insert, lease, complete, sum, walInsert, wal, hot float64 }

func (c cost) figures() []float64 {
	return []float64{c.insert, c.lease, c.complete, c.sum, c.walInsert, c.wal, c.hot}
}

func run(ctx context.Context, tasks, rounds int) error {
	server, err := privatepg.Start(ctx, privatepg.Config{Log: os.Stderr, Settings: map[string]string{
		"fsync": "on", "synchronous_commit": "on", "shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "15min",
		"autovacuum": "off"}}) // it would come at another time in each run
	if err != nil {
		return err
	}
	defer server.Stop()
	list := variants()
	costs := make([][]cost, len(list))
	for round := range rounds {
		for i, v := range list {
			c, err := measure(ctx, server, fmt.Sprintf("storage_%d_%d", round, i), v, tasks)
			if err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			costs[i] = append(costs[i], c)
			fmt.Fprintf(os.Stderr, "round %d  %-40s %.1f µs\n", round+1, v.name, c.sum)
		}
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "variant\tinsert µs\tlease µs\tcomplete µs\tsum µs\tWAL B insert\tWAL B lease to done\tHOT %")
	for i, v := range list {
		fmt.Fprint(out, v.name)
		for figure := range costs[i][0].figures() {
			fmt.Fprintf(out, "\t%.1f", median(costs[i], figure))
		}
		fmt.Fprintln(out)
	}
	return out.Flush()
}

func median(costs []cost, figure int) float64 {
	var list []float64
	for _, c := range costs {
		list = append(list, c.figures()[figure])
	}
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

// measure runs a variant on a database of its own.
func measure(ctx context.Context, server *privatepg.Server, name string, v variant, tasks int) (c cost, err error) {
	admin, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		return c, err
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, "create database "+name); err != nil {
		return c, err
	}
	if _, err := admin.Exec(ctx, "checkpoint"); err != nil { // each run begins with whole pages in its WAL
		return c, err
	}
	defer admin.Exec(ctx, "drop database "+name+" with (force)")
	if _, err := migrations.Up(ctx, server.URL(name)); err != nil {
		return c, err
	}
	b, err := open(ctx, server.URL(name), v)
	if err != nil {
		return c, err
	}
	defer b.conn.Close(ctx)
	return b.run(ctx, tasks)
}

// bench is a variant at work on one connection.
type bench struct {
	variant
	conn   *pgx.Conn
	worker uuid.UUID
	pad    string
}

func open(ctx context.Context, url string, v variant) (*bench, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin", "jit"} {
		config.RuntimeParams[name] = "off" // as the product's hot path
	}
	config.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	b := &bench{variant: v, conn: conn, worker: uuid.New(), pad: load.Padding(100)}
	for _, statement := range v.ddl {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return nil, err
		}
	}
	_, err = conn.Exec(ctx, `insert into scheduler.workers (id, name, host, pid, version, queues, kinds, slots, ttl_ms)
		values ($1, 'storage', 'storage', 1, '', '{default}', '{noop}', 1, 3600000)`, b.worker)
	return b, err
}

// run inserts the tasks, then leases and completes them.
func (b *bench) run(ctx context.Context, tasks int) (c cost, err error) {
	n := float64(tasks)
	began, err := b.wal(ctx)
	if err != nil {
		return c, err
	}
	for range tasks / inserted {
		args := b.rows()
		spent, err := b.spend(func() error { _, err := b.conn.Exec(ctx, b.insert, args...); return err })
		if err != nil {
			return c, err
		}
		c.insert += spent / n
	}
	filled, err := b.wal(ctx)
	if err != nil {
		return c, err
	}
	for left := tasks; left > 0; {
		var ids []uuid.UUID
		spent, err := b.spend(func() (err error) { ids, err = b.take(ctx); return err })
		if err != nil {
			return c, err
		}
		if len(ids) == 0 {
			return c, fmt.Errorf("%d tasks cannot be leased", left)
		}
		c.lease += spent / n
		attempts := slices.Repeat([]int32{1}, len(ids))
		var done pgconn.CommandTag
		spent, err = b.spend(func() (err error) {
			done, err = b.conn.Exec(ctx, b.complete, b.worker, "default", ids, attempts, make([]*string, len(ids)))
			return err
		})
		if err == nil && done.RowsAffected() != int64(len(ids)) {
			err = fmt.Errorf("%s of %d tasks", done, len(ids))
		}
		if err != nil {
			return c, err
		}
		c.complete += spent / n
		left -= len(ids)
	}
	worked, err := b.wal(ctx)
	if err != nil {
		return c, err
	}
	c.sum = c.insert + c.lease + c.complete
	c.walInsert, c.wal = (filled-began)/n, (worked-filled)/n
	return c, b.check(ctx, tasks, &c)
}

// check looks whether every task was inserted, leased and completed, and no other, and how many updates were heap-only.
func (b *bench) check(ctx context.Context, tasks int, c *cost) error {
	var rows, done int
	err := b.conn.QueryRow(ctx, `select count(*), count(*) filter (where state = 'completed' and attempt = 1 and revision = 3)
		from scheduler.tasks`).Scan(&rows, &done)
	switch {
	case err != nil:
		return err
	case b.deletes && rows != 0, !b.deletes && (rows != tasks || done != tasks):
		return fmt.Errorf("%d rows, %d completed at their first attempt, of %d tasks", rows, done, tasks)
	}
	if _, err := b.conn.Exec(ctx, "select pg_stat_force_next_flush()"); err != nil { // ends with the statement that follows
		return err
	}
	var updates int
	err = b.conn.QueryRow(ctx, `select n_tup_upd, coalesce(100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0), 0)::float8
		from pg_stat_user_tables where schemaname = 'scheduler' and relname = 'tasks'`).Scan(&updates, &c.hot)
	want := 2 * tasks
	if b.deletes {
		want = tasks
	}
	if err == nil && updates != want {
		err = fmt.Errorf("%d updates, want %d", updates, want)
	}
	return err
}

// rows are the arguments of an insert.
func (b *bench) rows() []any {
	ids, kinds, payloads, priorities := make([]uuid.UUID, inserted), make([]string, inserted), make([]string, inserted), make([]int16, inserted)
	for i := range ids {
		ids[i], kinds[i], payloads[i] = uuid.Must(uuid.NewV7()), "noop", `{"at": 1763700000000000000, "pad": "`+b.pad+`"}`
	}
	args := []any{"default", ids, kinds, payloads, priorities}
	if b.full {
		times, texts, numbers := make([]*time.Time, inserted), make([]*string, inserted), make([]*int64, inserted)
		args = append(args, times, numbers, slices.Repeat([]int16{10}, inserted), numbers, times, texts, texts, texts, texts)
	}
	return args
}

// take leases tasks, from the beginning of the queue.
func (b *bench) take(ctx context.Context) (ids []uuid.UUID, err error) {
	rows, err := b.conn.Query(ctx, b.lease, b.worker, "default", leased, []string{"noop"}, int16(-32768), "-infinity", uuid.UUID{})
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		ids = append(ids, uuid.UUID(rows.RawValues()[1]))
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return ids, rows.Err()
}

// spend returns the µs of CPU that something costs the backend.
func (b *bench) spend(something func() error) (float64, error) {
	before, err := b.cpu()
	if err != nil {
		return 0, err
	}
	if err := something(); err != nil {
		return 0, err
	}
	after, err := b.cpu()
	return after - before, err
}

// cpu is how long the backend has run, in µs.
func (b *bench) cpu() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", b.conn.PgConn().PID()))
	if err != nil {
		return 0, fmt.Errorf("the CPU time of a PostgreSQL process cannot be read, which needs Linux: %w", err)
	}
	first, _, _ := strings.Cut(string(text), " ")
	ns, err := strconv.ParseFloat(first, 64)
	return ns / 1000, err
}

// wal is how far PostgreSQL has written, in bytes.
func (b *bench) wal(ctx context.Context) (bytes float64, err error) {
	err = b.conn.QueryRow(ctx, `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8`).Scan(&bytes)
	return bytes, err
}
