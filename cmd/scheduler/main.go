package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/pgscheduler/scheduler/cmd/scheduler/screen"
)

// collectLess is GOGC of this program, unless the environment says otherwise: what lives is small and soon replaced, so that
// collecting at every doubling, as Go does by itself, would cost a tenth of the CPU to save some 15 MB.
const collectLess = 300

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectLess)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	again := make(chan struct{})
	var draining atomic.Bool
	go obeySignals(stop, again, &draining) // ends with the process
	a := &app{
		stdin: os.Stdin, stdinTerminal: term.IsTerminal(int(os.Stdin.Fd())), screen: standardScreen(),
		lookupEnv: os.LookupEnv, again: again, draining: &draining,
	}
	os.Exit(a.main(ctx, os.Args[1:]))
}

// repeat is how soon after a signal another one is taken for its copy: one Ctrl-C can reach a process twice, from the
// terminal and from a wrapper such as make that forwards it.
const repeat = 250 * time.Millisecond

// obeySignals ends the command's context at the first signal. The second ends the process, or is passed on to a command
// that drains; then the third ends the process.
func obeySignals(stop context.CancelCauseFunc, again chan<- struct{}, draining *atomic.Bool) {
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	last := time.Time{}
	for count := 0; ; {
		s := <-signals
		if time.Since(last) < repeat {
			continue
		}
		last = time.Now()
		count++
		switch {
		case count == 1:
			stop(&interrupted{s})
			if draining.Load() { // it takes nothing more by now
				slog.Info("drain: a second signal ends it at once", slog.String("signal", s.String()))
			}
		case count == 2 && draining.Load():
			slog.Warn("abort: second signal", slog.String("signal", s.String()))
			close(again)
		default:
			os.Exit((&interrupted{s}).exitCode())
		}
	}
}

// app is what the commands get from the process: streams, environment, signals, and the global flags once they are read.
type app struct {
	stdin         io.Reader
	stdinTerminal bool
	screen        *screen.Screen
	lookupEnv     func(string) (string, bool)

	// The context of a command ends at the first SIGINT or SIGTERM. One that drains then sets draining, and is told of the
	// second by again; for the others, and for the third, the process ends at once.
	again    <-chan struct{}
	draining *atomic.Bool

	global globals
}

// main runs the command line and returns the exit code.
func (a *app) main(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.screen.Out)
	root.SetErr(a.screen.Err)
	endTraces := a.exportTraces(ctx)
	err := root.ExecuteContext(ctx)
	endTraces()
	var signalled *interrupted
	var said *problem
	if errors.Is(err, context.Canceled) && !errors.As(err, &said) && errors.As(context.Cause(ctx), &signalled) {
		err = signalled
	}
	if err == nil {
		return exitOK
	}
	p := explain(err)
	p.print(a.screen)
	return p.code
}

// interrupted is the cause of a command's context ending.
type interrupted struct{ signal os.Signal }

func (e *interrupted) Error() string { return e.signal.String() }

func (e *interrupted) exitCode() int {
	if number, ok := e.signal.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return exitInterrupted
}

func standardScreen() *screen.Screen {
	noColor, _ := os.LookupEnv("NO_COLOR")
	return &screen.Screen{
		Out: os.Stdout, Err: os.Stderr, OutColumns: columns(os.Stdout), ErrColumns: columns(os.Stderr), OutRows: rows(os.Stdout),
		Color: noColor == "" && os.Getenv("TERM") != "dumb",
	}
}

// rows returns how to ask for the height of a terminal, nil when the file is none.
func rows(f *os.File) func() int {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) {
		return nil
	}
	return func() int {
		_, height, _ := term.GetSize(fd) // 0: unknown
		return height
	}
}

// columns returns how to ask for the width of a terminal, nil when the file is none.
func columns(f *os.File) func() int {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) {
		return nil
	}
	return func() int {
		if width, _, err := term.GetSize(fd); err == nil && width > 0 {
			return width
		}
		return 80
	}
}
