package scheduler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

var (
	// ErrNotFound: there is no such task, worker, schedule or subscription. Returned by every method that names one.
	ErrNotFound = errors.New("not found")

	// ErrLeaseLost: the attempt is no longer the task's current one: its worker was silent for too long, or it ended
	// already. Nothing was written. Returned by the verbs of a worker and, as the cause, by a handler's context. Stop.
	ErrLeaseLost = errors.New("lease lost")

	// ErrWorkerLost: the worker was declared dead and its tasks were given back. Returned by Heartbeat. Stop all handlers
	// and register anew.
	ErrWorkerLost = errors.New("worker was declared dead")

	// ErrKeyHeld: another task that is not final holds the unique key. Returned by Retry.
	ErrKeyHeld = errors.New("another task holds the unique key")

	// ErrRevision: the task changed since it was read. Returned by Edit, which changed nothing. Read it again.
	ErrRevision = errors.New("the task has another revision by now")

	// ErrCursorExpired: messages after the position are not kept any more, or it is none of this database. Returned once by
	// Follower.Next, which goes on with the oldest message that is kept.
	ErrCursorExpired = errors.New("the position is no longer kept")

	// ErrInvalid is matched by every *InvalidError and *CronError.
	ErrInvalid = errors.New("invalid")

	// ErrSchema is matched by every *SchemaError.
	ErrSchema = errors.New("schema version")
)

// InvalidError says which fields of a request are out of bounds. Nothing was stored. It matches ErrInvalid.
type InvalidError struct{ Fields []FieldError }

// FieldError is one field and the rule that it breaks.
type FieldError struct {
	Field string // as on the wire: kind, run_at, 3.payload for the fourth of several
	Rule  string
}

func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("invalid ")
	for i, f := range e.Fields {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Field + ": " + f.Rule)
	}
	return b.String()
}

// Is makes errors.Is(err, ErrInvalid) true.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

func invalid(field, rule string) *InvalidError {
	return &InvalidError{Fields: []FieldError{{field, rule}}}
}

// KeyReusedError: the idempotency key was first used with a different request. Nothing was stored; use a new key.
type KeyReusedError struct {
	Key     string
	Task    TaskID // the task of the first request; zero: it published a message
	Message int64  // that message
	At      int    // which of several tasks, from 0
}

func (e *KeyReusedError) Error() string {
	if e.Message != 0 {
		return fmt.Sprintf("idempotency key %q was first used with a different request, for message %d", e.Key, e.Message)
	}
	return fmt.Sprintf("idempotency key %q was first used with a different request, for task %s", e.Key, e.Task)
}

// StateError: the task's state does not allow the verb. Nothing was changed.
type StateError struct {
	Task  TaskID
	State State
	Verb  string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("cannot %s task %s: it is %s", e.Verb, e.Task, e.State)
}

// SchemaError: the database's schema is not the one that this build works with. It matches ErrSchema.
type SchemaError struct {
	Database int64 // 0: no schema
	Binary   int64
}

func (e *SchemaError) Error() string {
	switch {
	case e.Database == 0:
		return `the database has no schema "scheduler": run "scheduler migrate up"`
	case e.Database < e.Binary:
		return fmt.Sprintf(`the database's schema is at version %d and this binary needs %d: run "scheduler migrate up"`, e.Database, e.Binary)
	default:
		return fmt.Sprintf(`the database's schema is at version %d and this binary knows only %d: install a newer scheduler, or run "scheduler migrate down --to %d" with the binary that made it`,
			e.Database, e.Binary, e.Binary)
	}
}

// Is makes errors.Is(err, ErrSchema) true.
func (e *SchemaError) Is(target error) bool { return target == ErrSchema }

// Unavailable reports whether err says that the database can't be reached or can't serve now, so that the same call may
// succeed later: lost or refused connections, shutdown and start-up, too many connections, a read-only standby, time-outs,
// locks held by others, deadlocks and serialization failures.
func Unavailable(err error) bool {
	var connect *pgconn.ConnectError
	if err == nil || errors.As(err, &connect) {
		return err != nil
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "25006", "40001", "40P01", "55000", "55P03", "57014", "57P01", "57P02", "57P03", "57P05":
			return true
		}
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "58")
	}
	var network *net.OpError
	return errors.As(err, &network) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) || isEOF(err)
}

// Refused reports whether the database refused a statement for what it holds (data, a constraint, a limit): the same call
// will be refused again.
func Refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "23") || strings.HasPrefix(pg.Code, "54"))
}

// blocked reports whether a statement gave up for what somebody else has locked, and was rolled back: a lock or the whole took
// too long, a deadlock, a serialization failure.
func blocked(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && slices.Contains([]string{"55P03", "57014", "40P01", "40001"}, pg.Code)
}

func isEOF(err error) bool {
	text := err.Error()
	return strings.Contains(text, "unexpected EOF") || strings.Contains(text, "conn closed") || strings.Contains(text, "closed pool")
}

// violates reports whether err is the violation of the named constraint.
func violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == constraint
}
