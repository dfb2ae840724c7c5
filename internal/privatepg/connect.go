//go:build linux || darwin

package privatepg

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// port is part of the socket's name and nothing else.
const port = 5432

// startLimit bounds how long a server may say nothing while it starts. One that says that it is starting
// (recovery after a crash can take long) has all the time that the context gives it.
const startLimit = 30 * time.Second

// URL is the connection string of a database, which need not exist, for pgx, libpq and psql. It does not
// change while the Server is in use, Restart included.
func (s *Server) URL(database string) string {
	host := strings.NewReplacer("%2F", "/", "+", "%20").Replace(url.QueryEscape(s.socketDir)) // libpq does not read + as a space
	return fmt.Sprintf("postgres:///%s?host=%s&port=%d&user=postgres", url.PathEscape(database), host, s.port)
}

// connect opens a connection, or gives up on a server that takes it and says nothing.
func (s *Server) connect(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(s.URL("postgres"))
	if err != nil {
		return nil, err
	}
	config.ConnectTimeout = 5 * time.Second
	return pgx.ConnectConfig(ctx, config)
}

// awaitReady waits until the server answers, then sees to its database.
func (s *Server) awaitReady(ctx context.Context, p *process) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for silence := time.Now(); time.Since(silence) < startLimit; {
		conn, err := s.connect(ctx)
		if err == nil {
			defer conn.Close(ctx)
			return createDatabase(ctx, conn)
		}
		if startingUp(err) {
			silence = time.Now()
		}
		select {
		case <-p.done:
			return fmt.Errorf("postgres: %v at start\n%s", p.err, s.dir.logTail())
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return fmt.Errorf("postgres does not answer after %v\n%s", startLimit, s.dir.logTail())
}

func startingUp(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == "57P03" // cannot_connect_now
}

// createDatabase makes the database scheduler if it is missing.
func createDatabase(ctx context.Context, conn *pgx.Conn) error {
	var exists bool
	if err := conn.QueryRow(ctx, "select exists (select from pg_database where datname = 'scheduler')").Scan(&exists); err != nil || exists {
		return err
	}
	_, err := conn.Exec(ctx, "create database scheduler")
	var answer *pgconn.PgError
	if errors.As(err, &answer) && (answer.Code == "42P04" || answer.Code == "23505") {
		return nil // another process, attached as we are, was faster
	}
	return err
}

// logTail is the end of the server's log, for an error message.
func (d directory) logTail() string {
	text, err := os.ReadFile(d.logFile())
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-50):], "\n")
}
