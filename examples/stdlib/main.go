// Stdlib counts the Go standard library with the scheduler, loses a worker on the way, and proves that nothing was lost.
//
//	stdlib ─┬─ scheduler dev --ephemeral   private PostgreSQL, migrated, and the HTTP API
//	        ├─ stdlib worker (w1)          killed with SIGKILL when half of the packages are done
//	        └─ stdlib worker (w2)          takes over
//
// It submits one task, stdlib.split, over HTTP. Its handler finds the packages and, in one transaction, submits a task
// stdlib.count for each and completes itself. Each of those parses the files of its package with go/parser and writes what
// it counted into the table stdlib.counts in the same transaction that completes the task. In the end the table is compared
// with what a walk over the files finds, which knows nothing of tasks.
//
//	go run ./examples/stdlib
//
// The exit code is 0 when every package was counted exactly once, 130 after Ctrl-C, 2 for wrong usage, 1 otherwise.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func main() {
	// Children that ask to end with their parent end with the thread that started them: keep it, it is the main one.
	runtime.LockOSThread()
	os.Exit(command(os.Args[1:]))
}

func command(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop() // not sooner: a second Ctrl-C must not cut the clearing up short
	if len(args) > 0 && args[0] == "worker" {
		return exit(runWorker(ctx, args[1:]))
	}
	var o options
	flags := flag.NewFlagSet("stdlib", flag.ContinueOnError)
	flags.StringVar(&o.tree, "tree", "", "count the packages below `directory` (default: src of go env GOROOT)")
	flags.StringVar(&o.binary, "scheduler", "", "use this scheduler `program` (default: build ./cmd/scheduler)")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		if err == nil {
			fmt.Fprintf(os.Stderr, "stdlib: unexpected argument %q\n", flags.Arg(0))
		}
		return 2
	}
	// Told of SIGPIPE, the process outlives a reader that has gone, as of "| head", and ends in order; nobody reads the channel.
	// Ignoring the signal would do too, but pass on to the children.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	s := newScreen(os.Stdout)
	s.out = &reader{os.Stdout, end}
	return exit(tell(ctx, o, s))
}

// reader is whom the demo tells its story: it ends when nobody listens any more.
type reader struct {
	io.Writer
	end context.CancelCauseFunc
}

func (r *reader) Write(p []byte) (int, error) {
	n, err := r.Writer.Write(p)
	if err != nil {
		r.end(&outputError{err})
	}
	return n, err
}

// outputError is why a demo ended that had nobody to tell.
type outputError struct{ err error }

func (e *outputError) Error() string {
	return "cannot write the output: " + e.err.Error() + "; workers, API and PostgreSQL are stopped, their files removed"
}

// exit says what went wrong and returns the exit code.
func exit(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(os.Stderr, err)
		return 130
	default:
		fmt.Fprintln(os.Stderr, "stdlib:", err)
		return 1
	}
}
