package pgtest

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { Tidy(m) }

func connect(t *testing.T, databaseURL string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func value[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) (v T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func nameOf(t *testing.T, databaseURL string) string {
	t.Helper()
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	return config.Database
}

// exists asks the cluster whether it has a database.
func exists(t *testing.T, name string) bool {
	t.Helper()
	admin, err := cluster()
	check(t, err)
	return value[bool](t, connect(t, admin), "select exists (select from pg_database where datname = $1)", name)
}

func TestDatabasesAreMigratedAndDistinct(t *testing.T) {
	t.Parallel()
	urls := make([]string, 8)
	var made sync.WaitGroup
	for i := range urls {
		made.Go(func() { urls[i] = DB(t) })
	}
	made.Wait()
	seen := make(map[string]bool)
	for _, url := range urls {
		conn := connect(t, url)
		name := value[string](t, conn, "select current_database()")
		if seen[name] {
			t.Errorf("two tests got %s", name)
		}
		seen[name] = true
		if !value[bool](t, conn, "select to_regclass('scheduler.tasks') is not null") {
			t.Errorf("%s has no table of tasks", name)
		}
		if _, err := conn.Exec(t.Context(), "create table mine ()"); err != nil { // fails if another has made it here
			t.Error(err)
		}
	}
}

func TestEmptyDBIsEmpty(t *testing.T) {
	t.Parallel()
	conn := connect(t, EmptyDB(t))
	if n := value[int](t, conn, "select count(*) from pg_namespace where nspname = 'scheduler'"); n != 0 {
		t.Error("it has a schema scheduler")
	}
	if n := value[int](t, conn, "select count(*) from pg_class where relnamespace = 'public'::regnamespace"); n != 0 {
		t.Errorf("it has %d relations", n)
	}
}

func TestDatabaseIsDroppedThoughInUse(t *testing.T) {
	t.Parallel()
	var name string
	var open *pgx.Conn
	t.Run("passed test", func(t *testing.T) {
		url := DB(t)
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		name, open = nameOf(t, url), conn
	})
	if open == nil {
		t.Skip("without a database")
	}
	defer open.Close(context.Background())
	if exists(t, name) {
		t.Errorf("%s is still there", name)
	}
}

func TestNotificationsStayInTheirDatabase(t *testing.T) {
	t.Parallel()
	mine, other := DB(t), DB(t)
	listener := connect(t, mine)
	if _, err := listener.Exec(t.Context(), "listen hint"); err != nil {
		t.Fatal(err)
	}
	for _, n := range []struct{ url, payload string }{{other, "from another database"}, {mine, "from this one"}} {
		if _, err := connect(t, n.url).Exec(t.Context(), "select pg_notify('hint', $1)", n.payload); err != nil {
			t.Fatal(err)
		}
	}
	heard, err := listener.WaitForNotification(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if heard.Payload != "from this one" {
		t.Errorf("heard %q", heard.Payload)
	}
}

func TestWithDatabase(t *testing.T) {
	t.Parallel()
	for connection, want := range map[string]string{
		"postgres:///postgres?host=/tmp/a%20b&port=5432&user=postgres": "postgres:///x?host=/tmp/a%20b&port=5432&user=postgres",
		"postgresql://me:p%40ss@db:5433/app?sslmode=require":           "postgresql://me:p%40ss@db:5433/x?sslmode=require",
		"postgres://db?dbname=app&application_name=a%26b":              "postgres://db/x?application_name=a%26b",
		"host=/tmp dbname=app user=me":                                 "host=/tmp dbname=app user=me dbname=x",
	} {
		if got := withDatabase(connection, "x"); got != want {
			t.Errorf("%s: %s, want %s", connection, got, want)
		}
		if nameOf(t, withDatabase(connection, "x")) != "x" {
			t.Errorf("%s: pgx reads database %q", connection, nameOf(t, withDatabase(connection, "x")))
		}
	}
}

func TestNewName(t *testing.T) {
	t.Parallel()
	name := newName(`TestÄ/"quoted" ` + strings.Repeat("long", 40))
	if len(name) > 63 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		t.Errorf("%q", name)
	}
	if again := newName("Test"); again == newName("Test") {
		t.Error("names repeat")
	}
}
