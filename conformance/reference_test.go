//go:build unix

package conformance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// reference is the conformance worker in Go, written from the protocols alone. It returns the exit code.
func reference() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var err error
	if os.Getenv("SCHEDULER_FD") != "" {
		err = serveFrames(ctx)
	} else {
		err = serveLeases(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

const language = "go"

// wireTask is a leased task, as far as the kinds need it.
type wireTask struct {
	ID         string          `json:"id"`
	Kind       string          `json:"kind"`
	Payload    json.RawMessage `json:"payload"`
	Attempt    int             `json:"attempt"`
	TimeoutMS  *int64          `json:"timeout_ms"`
	Checkpoint *struct {
		Step int `json:"step"`
	} `json:"checkpoint"`
}

// teller is what a handler may say while it works.
type teller interface {
	progress(current, total int, message string) error
	log(stream, message string) error
	checkpoint(value any) error // returns once it is stored
}

// outcome is how an attempt ended. Failure and snooze are exclusive.
type outcome struct {
	result  any
	failure *failure
	snooze  *int64 // milliseconds
}

type failure struct {
	message, code, stack string
	permanent            bool
	retryAfter           *int64
}

// The causes for which a context of a task ends.
var (
	errCancelled = errors.New("cancelled")
	errTimeout   = errors.New("timeout")
	errLost      = errors.New("lost")
)

// arguments of all kinds.
type arguments struct {
	Steps        int    `json:"steps"`
	CrashAt      int    `json:"crash_at"`
	Until        int    `json:"until"`
	Milliseconds int    `json:"ms"`
	Delay        int64  `json:"delay_ms"`
	Bytes        int    `json:"bytes"`
	Message      string `json:"message"`
	Code         string `json:"code"`
	Retryable    *bool  `json:"retryable"`
	RetryAfter   *int64 `json:"retry_after_ms"`
}

const sample = "žluťoučký 🐎 \\u0000-free \"quotes\" \\ / \n end"

type handler func(ctx context.Context, task wireTask, args arguments, tell teller) (outcome, error)

var kinds = map[string]handler{
	"conformance.echo": func(_ context.Context, task wireTask, _ arguments, _ teller) (outcome, error) {
		return outcome{result: task.Payload}, nil
	},
	"conformance.progress": steps,
	"conformance.fail": func(_ context.Context, _ wireTask, args arguments, _ teller) (outcome, error) {
		return outcome{failure: &failure{message: args.Message, code: cmp.Or(args.Code, "error"), permanent: args.Retryable != nil && !*args.Retryable, retryAfter: args.RetryAfter}}, nil
	},
	"conformance.throw": func(_ context.Context, _ wireTask, args arguments, _ teller) (outcome, error) {
		panic(errors.New(args.Message))
	},
	"conformance.flaky": func(_ context.Context, task wireTask, args arguments, _ teller) (outcome, error) {
		if task.Attempt < args.Until {
			return outcome{failure: &failure{message: "flaky", code: "flaky", retryAfter: new(int64)}}, nil
		}
		return attemptOf(task), nil
	},
	"conformance.crash": func(_ context.Context, task wireTask, args arguments, _ teller) (outcome, error) {
		if task.Attempt < args.Until {
			die()
		}
		return attemptOf(task), nil
	},
	"conformance.snooze": func(_ context.Context, task wireTask, args arguments, _ teller) (outcome, error) {
		if task.Attempt < args.Until {
			return outcome{snooze: &args.Delay}, nil
		}
		return attemptOf(task), nil
	},
	"conformance.checkpoint": checkpoints,
	"conformance.wait": func(ctx context.Context, _ wireTask, _ arguments, _ teller) (outcome, error) {
		<-ctx.Done()
		return outcome{failure: &failure{message: context.Cause(ctx).Error(), code: "cancelled"}}, nil
	},
	"conformance.sleep": func(ctx context.Context, _ wireTask, args arguments, tell teller) (outcome, error) {
		if err := tell.log("log", "sleeps"); err != nil {
			return outcome{}, err
		}
		select {
		case <-time.After(time.Duration(args.Milliseconds) * time.Millisecond):
			return outcome{result: map[string]int{"slept": args.Milliseconds}}, nil
		case <-ctx.Done():
			return outcome{}, context.Cause(ctx)
		}
	},
	"conformance.big": func(_ context.Context, _ wireTask, args arguments, _ teller) (outcome, error) {
		return outcome{result: map[string]string{"text": strings.Repeat("x", args.Bytes)}}, nil
	},
	"conformance.stray": func(_ context.Context, _ wireTask, _ arguments, tell teller) (outcome, error) {
		return outcome{result: struct{}{}}, errors.Join(tell.log("stdout", "stray out é"), tell.log("stderr", "stray err"))
	},
	"conformance.unicode": func(_ context.Context, _ wireTask, _ arguments, tell teller) (outcome, error) {
		return outcome{result: sample}, errors.Join(tell.log("log", sample), tell.progress(1, 1, sample))
	},
}

func steps(_ context.Context, _ wireTask, args arguments, tell teller) (outcome, error) {
	for i := 1; i <= args.Steps; i++ {
		if err := errors.Join(tell.progress(i, args.Steps, fmt.Sprintf("step %d", i)), tell.log("log", fmt.Sprintf("line %d", i))); err != nil {
			return outcome{}, err
		}
	}
	return outcome{result: map[string]int{"steps": args.Steps}}, nil
}

func checkpoints(_ context.Context, task wireTask, args arguments, tell teller) (outcome, error) {
	begin := 0
	if task.Checkpoint != nil {
		begin = task.Checkpoint.Step
	}
	for i := begin + 1; i <= args.Steps; i++ {
		if err := tell.checkpoint(map[string]int{"step": i}); err != nil {
			return outcome{}, err
		}
		if i == args.CrashAt && task.Attempt == 1 {
			die()
		}
	}
	return outcome{result: map[string]int{"from": begin, "steps": args.Steps}}, nil
}

func attemptOf(task wireTask) outcome {
	return outcome{result: map[string]int{"attempt": task.Attempt}}
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func kindNames() []string {
	names := make([]string, 0, len(kinds))
	for name := range kinds {
		names = append(names, name)
	}
	return names
}

// handle runs a task, whatever its handler does.
func handle(ctx context.Context, task wireTask, tell teller) (out outcome) {
	do, ok := kinds[task.Kind]
	if !ok {
		return outcome{failure: &failure{message: "no handler for " + task.Kind, code: "unknown_kind"}}
	}
	if task.TimeoutMS != nil {
		limited, cancel := context.WithTimeoutCause(ctx, time.Duration(*task.TimeoutMS)*time.Millisecond, errTimeout)
		defer cancel()
		ctx = limited
	}
	defer func() {
		if thrown := recover(); thrown != nil {
			stack := make([]byte, 64<<10)
			out = outcome{failure: &failure{message: fmt.Sprint(thrown), code: fmt.Sprintf("%T", thrown), stack: string(stack[:runtime.Stack(stack, false)])}}
		}
		if out.failure != nil && errors.Is(context.Cause(ctx), errTimeout) {
			out.failure.code = "timeout"
		}
	}()
	var args arguments
	_ = json.Unmarshal(task.Payload, &args) // echo takes anything
	out, err := do(ctx, task, args, tell)
	if err != nil {
		code := "error"
		if cause := context.Cause(ctx); cause != nil {
			code = cause.Error()
		}
		out = outcome{failure: &failure{message: err.Error(), code: code}}
	}
	return out
}
