package migrations_test

import (
	"context"
	_ "embed"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/migrations"
)

var update = flag.Bool("update", false, "rewrite testdata/schema.golden")

// migrateNow makes this test binary a process that migrates the database it names and ends; see TestFiveProcessesAtOnce.
const migrateNow = "MIGRATIONS_TEST_MIGRATE"

func TestMain(m *testing.M) {
	if url := os.Getenv(migrateNow); url != "" {
		if _, err := migrations.Up(context.Background(), url); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	pgtest.Main(m)
}

//go:embed testdata/schema.sql
var schemaSQL string

// schema returns the shape of a database's schema scheduler as text; empty when there is none.
func schema(t *testing.T, url string) string {
	t.Helper()
	if !value[bool](t, url, `select to_regnamespace('scheduler') is not null`) {
		return ""
	}
	return strings.Join(column[string](t, url, schemaSQL), "\n") + "\n"
}

func column[T any](t *testing.T, url, query string, args ...any) []T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func value[T any](t *testing.T, url, query string, args ...any) T {
	t.Helper()
	list := column[T](t, url, query, args...)
	if len(list) != 1 {
		t.Fatalf("%s: %d rows", query, len(list))
	}
	return list[0]
}

func up(t *testing.T, url string) []migrations.Applied {
	t.Helper()
	applied, err := migrations.Up(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return applied
}

func down(t *testing.T, url string, to int64) []migrations.Applied {
	t.Helper()
	applied, err := migrations.Down(t.Context(), url, to)
	if err != nil {
		t.Fatal(err)
	}
	return applied
}

func TestGoldenSchema(t *testing.T) {
	t.Parallel()
	const golden = "testdata/schema.golden"
	url := pgtest.EmptyDB(t)
	up(t, url)
	got := schema(t, url)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the schema is not that of %s (-update rewrites it):\n%s", golden, diff)
	}
}

// What people read must explain itself.
func TestTablesAndColumnsHaveComments(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	bare := column[string](t, url, `
		select a.attname from pg_attribute a
		where a.attrelid = 'scheduler.tasks'::regclass and a.attnum > 0 and not a.attisdropped and col_description(a.attrelid, a.attnum) is null
		union all
		select c.relname from pg_class c
		where c.relnamespace = 'scheduler'::regnamespace and c.relkind in ('r', 'v') and c.relname not like 'goose%' and obj_description(c.oid, 'pg_class') is null`)
	if len(bare) > 0 {
		t.Errorf("without a comment: %s", strings.Join(bare, ", "))
	}
}

// From every version, down to it and up again leads to the same schema, and 0 leaves nothing.
func TestDownAndUpFromEveryVersion(t *testing.T) {
	t.Parallel()
	url := pgtest.EmptyDB(t)
	latest, err := migrations.Latest()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(up(t, url)); int64(n) != latest {
		t.Fatalf("applied %d of %d", n, latest)
	}
	want := schema(t, url)
	for to := latest - 1; to >= 0; to-- {
		if n := len(down(t, url, to)); int64(n) != latest-to {
			t.Errorf("down to %d undid %d migrations, want %d", to, n, latest-to)
		}
		if rest := schema(t, url); to == 0 && rest != "\n" {
			t.Errorf("down to 0 left:\n%s", rest)
		}
		if n := len(up(t, url)); int64(n) != latest-to {
			t.Errorf("up from %d applied %d migrations, want %d", to, n, latest-to)
		}
		if diff := cmp.Diff(want, schema(t, url)); diff != "" {
			t.Errorf("down to %d and up again is another schema:\n%s", to, diff)
		}
	}
}

func TestUpTwiceIsANoOp(t *testing.T) {
	t.Parallel()
	url := pgtest.EmptyDB(t)
	first := up(t, url)
	before := schema(t, url)
	if again := up(t, url); len(first) == 0 || len(again) != 0 {
		t.Errorf("applied %d migrations, then %d", len(first), len(again))
	}
	if diff := cmp.Diff(before, schema(t, url)); diff != "" {
		t.Error(diff)
	}
}

func TestFiveAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.EmptyDB(t)
	var all sync.WaitGroup
	applied := make([]int, 5)
	for i := range applied {
		all.Go(func() {
			list, err := migrations.Up(t.Context(), url)
			if err != nil {
				t.Error(err)
			}
			applied[i] = len(list)
		})
	}
	all.Wait()
	checkAppliedOnce(t, url)
	workers := 0
	for _, n := range applied {
		if n > 0 {
			workers++
		}
	}
	if workers != 1 {
		t.Errorf("migrations applied by each: %v, want all by one", applied)
	}
}

func TestFiveProcessesAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.EmptyDB(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), migrateNow+"="+url)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Wait()
	checkAppliedOnce(t, url)
}

func checkAppliedOnce(t *testing.T, url string) {
	t.Helper()
	latest, err := migrations.Latest()
	if err != nil {
		t.Fatal(err)
	}
	got := column[int64](t, url, `select version_id from scheduler.goose_db_version where version_id > 0 order by version_id`)
	var want []int64
	for v := int64(1); v <= latest; v++ {
		want = append(want, v)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("versions applied:\n%s", diff)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	url := pgtest.EmptyDB(t)
	status := func() []migrations.State {
		t.Helper()
		list, err := migrations.Status(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for _, s := range status() {
		if !s.AppliedAt.IsZero() {
			t.Errorf("%s is applied to an empty database", s.Name)
		}
	}
	if rest := schema(t, url); rest != "" {
		t.Errorf("asking for the status made:\n%s", rest)
	}
	up(t, url)
	down(t, url, 2)
	for _, s := range status() {
		if applied := !s.AppliedAt.IsZero(); applied != (s.Version <= 2) {
			t.Errorf("%s: applied %v after down to 2", s.Name, applied)
		}
		if since := time.Since(s.AppliedAt); s.Version <= 2 && (since < -time.Minute || since > time.Hour) {
			t.Errorf("%s was applied %s ago", s.Name, since)
		}
	}
	if files, _ := filepath.Glob("*.sql"); len(files) != len(status()) {
		t.Errorf("%d files, %d lines of status", len(files), len(status()))
	}
}

func TestErrorsSayWhatFailed(t *testing.T) {
	t.Parallel()
	url := pgtest.EmptyDB(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `create schema scheduler; create table scheduler.leases ()`); err != nil {
		t.Fatal(err)
	}
	applied, err := migrations.Up(t.Context(), url)
	if err == nil || !strings.Contains(err.Error(), "version:2") || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("error %v names neither the migration nor the reason", err)
	}
	if len(applied) != 1 || applied[0].Name != "00001_tasks.sql" {
		t.Errorf("applied %+v, want the file before the broken one", applied)
	}
	if _, err := conn.Exec(t.Context(), `drop table scheduler.leases`); err != nil {
		t.Fatal(err)
	}
	up(t, url) // and nothing of the broken file was left
	checkAppliedOnce(t, url)
	if _, err := migrations.Up(t.Context(), "postgres://localhost:1/none"); err == nil {
		t.Error("no error without a server")
	}
}

func TestLatestIsTheNewestFile(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.sql")
	if err != nil {
		t.Fatal(err)
	}
	latest, err := migrations.Latest()
	if err != nil || int(latest) != len(files) {
		t.Errorf("%d, %v, want %d: files are numbered from 1 without gaps", latest, err, len(files))
	}
}
