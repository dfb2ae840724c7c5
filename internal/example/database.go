//go:build unix

package example

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// connect opens a connection, which ends with the test.
func connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(t.Context()) }) // the test is over: nothing hangs on it
	return db
}

// Number is what a query of one number finds.
func (e *Example) Number(query string, args ...any) (n int) {
	e.t.Helper()
	if err := e.DB.QueryRow(e.t.Context(), query, args...).Scan(&n); err != nil {
		e.t.Fatal(err)
	}
	return n
}
