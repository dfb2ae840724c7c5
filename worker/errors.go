package worker

import (
	"errors"
	"fmt"
	"time"
)

// Causes of a handler's context ending, by context.Cause. The fourth is scheduler.ErrLeaseLost: another worker may run the
// task by now, whatever this attempt still does must not be written.
var (
	// ErrCancelled: somebody cancelled the task. Clean up and return; the task ends cancelled unless the handler returns nil.
	ErrCancelled = errors.New("task was cancelled")

	// ErrTimeout: the attempt ran longer than the task's timeout. It counts as a failure.
	ErrTimeout = errors.New("attempt timed out")

	// ErrShutdown: the worker ends and the drain timeout is over. The task is handed back and counts no failure.
	ErrShutdown = errors.New("worker is shutting down")
)

// ErrEndedElsewhere is returned by a handler that knows from the database that its attempt was ended by another program,
// through Task.Lease, or will be (scheduler.Client.Accept): nothing is left to write but what it has reported and logged. To return
// it of any other attempt loses the task until the worker ends.
var ErrEndedElsewhere = errors.New("attempt was ended by another program")

// errHandBack ends an attempt that could not run, by no fault of its own: its task is handed back and counts no failure.
var errHandBack = errors.New("no child process could run it")

// ErrAborted is returned by Run after Abort.
var ErrAborted = errors.New("worker aborted")

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent makes a handler's error final: the task is failed at once, whatever attempts are left. nil stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether an error was made by Permanent, or wraps such a one.
func IsPermanent(err error) bool {
	var permanent *permanentError
	return errors.As(err, &permanent)
}

type retryAfterError struct {
	err   error
	after time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// RetryAfter makes a failed attempt be retried after d, up to a year, in place of the task's backoff. It still counts as a
// failure. A nil err is given a text.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		err = fmt.Errorf("retry after %s", d)
	}
	return &retryAfterError{err, d}
}

type snoozeError struct {
	delay  time.Duration
	reason string // "": it gave none
}

func (e *snoozeError) Error() string {
	if e.reason != "" {
		return e.reason
	}
	return fmt.Sprintf("snoozed for %s", e.delay)
}

// Snooze ends the attempt and runs the task again after d, up to a year. It counts as no failure.
func Snooze(d time.Duration) error { return &snoozeError{delay: d} }

// WithCode gives a handler's error a code of its own: one word, stored as the task's error_code. nil stays nil.
func WithCode(code string, err error) error {
	if err == nil {
		return nil
	}
	return &codedError{code: code, message: err.Error()}
}

// codedError is an error with a code of its own and, for panics, a stack.
type codedError struct {
	code, message, stack string
}

func (e *codedError) Error() string { return e.message }
