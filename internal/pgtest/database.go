package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DB returns the URL of a fresh database with all migrations applied. It is dropped, its connections
// included, when the test and its subtests end; see the package for failed ones.
func DB(t testing.TB) string {
	t.Helper()
	admin, err := cluster()
	check(t, err)
	template, err := migrated()
	check(t, err)
	return create(t, admin, template)
}

// EmptyDB is DB without migrations: a database with nothing in it.
func EmptyDB(t testing.TB) string {
	t.Helper()
	admin, err := cluster()
	check(t, err)
	return create(t, admin, "template0")
}

// create clones a template for a test.
func create(t testing.TB, admin, template string) string {
	t.Helper()
	name := newName(t.Name())
	check(t, execute(t.Context(), admin, "create database "+quote(name)+" template "+quote(template)+" strategy file_copy")) // a third of the work of wal_log here
	own := withDatabase(admin, name)
	t.Cleanup(func() {
		if t.Failed() && os.Getenv(outside) != "" {
			t.Logf("this test's database stays as long as its server does:\n\tpsql '%s'", strings.ReplaceAll(own, "'", `'\''`))
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the test's own context has ended
		defer cancel()
		if err := drop(ctx, admin, name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return own
}

// drop drops a database, its connections included, once these have ended: PostgreSQL itself waits for them for 5 s.
func drop(ctx context.Context, admin, name string) error {
	for {
		err := execute(ctx, admin, "drop database if exists "+quote(name)+" with (force)")
		var inUse *pgconn.PgError
		if !errors.As(err, &inUse) || inUse.Code != "55006" {
			return err
		}
	}
}

// execute runs one statement on a connection of its own. PostgreSQL takes no arguments in statements about
// databases.
func execute(ctx context.Context, databaseURL, sql string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// newName is unique, and tells a person whose database it is.
func newName(test string) string {
	random := make([]byte, 5)
	rand.Read(random) // never fails
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(test))
	return "t_" + hex.EncodeToString(random) + "_" + readable[:min(len(readable), 40)] // PostgreSQL cuts names at 63
}

// withDatabase is a connection string, URL or keywords, with another database in it.
func withDatabase(connection, database string) string {
	if !strings.HasPrefix(connection, "postgres://") && !strings.HasPrefix(connection, "postgresql://") {
		return connection + " dbname=" + database // the last one wins
	}
	u, err := url.Parse(connection)
	if err != nil {
		return connection // we are connected with it, so pgx parsed it
	}
	u.Path, u.RawPath = "/"+database, ""
	u.RawQuery = strings.Join(withoutDatabase(strings.Split(u.RawQuery, "&")), "&")
	return u.String()
}

// withoutDatabase drops the parameters that name a database, which would win over the path, and leaves the
// others as they are written.
func withoutDatabase(parameters []string) []string {
	var kept []string
	for _, p := range parameters {
		if name, _, _ := strings.Cut(p, "="); name != "dbname" && name != "database" {
			kept = append(kept, p)
		}
	}
	return kept
}
