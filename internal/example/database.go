//go:build unix

package example

import "github.com/jackc/pgx/v5"

// Connect opens a connection to the example's database, which ends with the test.
func (e *Example) Connect() *pgx.Conn {
	e.t.Helper()
	db, err := pgx.Connect(e.t.Context(), e.Database)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = db.Close(e.t.Context()) }) // the test is over: nothing hangs on it
	return db
}
