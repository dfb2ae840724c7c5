package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/cmd/scheduler/screen"
	"github.com/pgscheduler/scheduler/internal/privatepg"
	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitAuth        = 4
	exitConflict    = 5
	exitTimeout     = 6
	exitTaskFailed  = 7
	exitUnreachable = 8
	exitSchema      = 9
	exitInterrupted = 130
	exitTerminated  = 143
)

// exitCodes is what people read of them, in help and in the reference.
var exitCodes = []struct {
	code    int
	meaning string
}{
	{exitOK, "success; a worker or server that was told to end has drained"},
	{exitFailure, "failure of any other kind; doctor found one; a worker ended before it had drained"},
	{exitUsage, "wrong usage: unknown command or flag, bad argument, bad value"},
	{exitNotFound, "no such task, worker, schedule, subscription or endpoint"},
	{exitAuth, "not authenticated, or not permitted"},
	{exitConflict, "conflict: the task's state does not allow it, or a key is taken"},
	{exitTimeout, "timed out waiting; what was waited for goes on"},
	{exitTaskFailed, "the awaited task failed or was cancelled"},
	{exitUnreachable, "cannot reach the database or the server"},
	{exitSchema, "the database is not migrated, or to another version than this binary needs"},
	{exitInterrupted, "interrupted by SIGINT"},
	{exitTerminated, "ended by SIGTERM"},
}

// problem is an error as a person reads it.
type problem struct {
	code int
	what string // what did not work
	why  string
	run  string // what to run next, or to do
}

func (p *problem) Error() string { return p.what + ": " + p.why }

func (p *problem) print(s *screen.Screen) { s.Fail(p.what, p.why, p.run) }

// usage is wrong usage of a command.
func usage(path, what, why string, args ...any) error {
	return &problem{code: exitUsage, what: what, why: fmt.Sprintf(why, args...), run: path + " --help"}
}

// action says what was being done when an error came up.
type action struct {
	verb string // "cancel task 01a1…"
	err  error
}

func (e *action) Error() string { return e.verb + ": " + e.err.Error() }
func (e *action) Unwrap() error { return e.err }

// doing notes what the error came up in; nil stays nil.
func doing(err error, verb string, args ...any) error {
	if err == nil {
		return nil
	}
	return &action{fmt.Sprintf(verb, args...), err}
}

// explain turns any error of a command into three lines and an exit code.
func explain(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	var signalled *interrupted
	if errors.As(err, &signalled) {
		return &problem{signalled.exitCode(), "stopped", "this command got the signal " + signalled.Error(), "the same command again; it is safe"}
	}
	var output *screen.OutputError
	if errors.As(err, &output) { // of any command, whatever it was doing
		return &problem{exitFailure, "cannot write the output", oneLine(output.Err), "the same command with its output somewhere else, or once there is room"}
	}
	p = &problem{code: exitFailure, what: "this did not work", run: "scheduler doctor"}
	var a *action
	if errors.As(err, &a) {
		p.what, err = "cannot "+a.verb, a.err
	}
	p.why = oneLine(err)
	for _, judge := range []func(error, *problem) bool{judgeRequest, judgeDoor, judgeDatabase} {
		if judge(err, p) {
			return p
		}
	}
	return p
}

// judgeRequest knows what the scheduler itself refuses.
func judgeRequest(err error, p *problem) bool {
	var state *scheduler.StateError
	var reused *scheduler.KeyReusedError
	var schema *scheduler.SchemaError
	switch {
	case errors.As(err, &state):
		p.code, p.why, p.run = exitConflict, "it is "+string(state.State), "scheduler tasks get "+state.Task.String()
	case errors.As(err, &reused):
		p.code, p.run = exitConflict, "scheduler tasks get "+reused.Task.String()+", or use a new key for a new request"
		if reused.Message != 0 {
			p.run = "the same command with a new key, if it is a new request"
		}
	case errors.As(err, &schema):
		p.code, p.why, p.run = exitSchema, schemaReason(schema), schemaRemedy(schema)
	case errors.Is(err, scheduler.ErrSchema):
		p.code, p.run = exitSchema, "where the server runs: scheduler migrate status"
	case errors.Is(err, scheduler.ErrKeyHeld):
		p.code, p.run = exitConflict, "scheduler tasks list"
	case errors.Is(err, scheduler.ErrNotFound):
		p.code, p.why, p.run = exitNotFound, "there is no such "+nounOf(p.what), "scheduler "+nounOf(p.what)+"s list"
		if nounOf(p.what) == "subscription" {
			p.run = "scheduler topics subscriptions list"
		}
	case errors.Is(err, scheduler.ErrInvalid):
		p.code, p.run = exitUsage, "the same command with --help"
	default:
		return false
	}
	return true
}

// nounOf is what an action was about.
func nounOf(what string) string {
	for _, noun := range []string{"worker", "schedule", "subscription"} {
		if strings.Contains(what, " "+noun+" ") {
			return noun
		}
	}
	return "task"
}

func schemaReason(e *scheduler.SchemaError) string {
	switch {
	case e.Database == 0:
		return `the database has no schema "scheduler"`
	case e.Database < e.Binary:
		return fmt.Sprintf("the database's schema is at version %d and this binary needs %d", e.Database, e.Binary)
	}
	return fmt.Sprintf("the database's schema is at version %d and this binary knows only %d", e.Database, e.Binary)
}

func schemaRemedy(e *scheduler.SchemaError) string {
	if e.Database < e.Binary {
		return "scheduler migrate up"
	}
	return fmt.Sprintf("a newer scheduler, or with the binary that made the schema: scheduler migrate down --to %d", e.Binary)
}

// judgeDoor knows what an HTTP server answers.
func judgeDoor(err error, p *problem) bool {
	switch {
	case errors.Is(err, door.ErrUnauthorized):
		p.code, p.run = exitAuth, "the same command with --token, or with SCHEDULER_TOKEN set"
	case errors.Is(err, door.ErrUnreachable):
		p.code, p.run = exitUnreachable, "scheduler serve, or check --server and SCHEDULER_URL"
	default:
		return false
	}
	return true
}

// judgeDatabase knows what PostgreSQL and the way to it can do to a command.
func judgeDatabase(err error, p *problem) bool {
	var missing *privatepg.NotFoundError
	if errors.As(err, &missing) {
		p.code, p.why, p.run = exitUnreachable, oneLine(errors.New(missing.Why)), missing.Command
		if p.run == "" {
			p.run = "install PostgreSQL, or set SCHEDULER_PG_BINDIR to the directory that holds initdb"
		}
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "28P01", "28000":
			p.code, p.run = exitAuth, "the same command with the right user and password in --database-url"
			return true
		case "42501":
			p.code, p.run = exitAuth, "grant the role what it lacks, or use another role"
			return true
		case "3D000":
			p.code, p.run = exitUnreachable, "create the database, or name another in --database-url"
			return true
		}
	}
	var parse *pgconn.ParseConfigError
	var file *fs.PathError
	switch {
	case errors.As(err, &file): // Unavailable takes any error of the system's for one of the network
		return false
	case errors.As(err, &parse):
		p.code, p.run = exitUsage, "the same command with --database-url postgres://user:password@host:5432/database"
	case scheduler.Unavailable(err), errors.Is(err, context.DeadlineExceeded):
		p.code, p.run = exitUnreachable, "scheduler doctor, or check --database-url and SCHEDULER_DATABASE_URL"
	default:
		return false
	}
	return true
}

// oneLine is the error's text with its lines joined.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' }), " ")
}
