package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pgscheduler/scheduler/httpapi"
)

// submitFlags are what a task can be told on the command line.
type submitFlags struct {
	queue          string
	priority       int
	at             string
	in             time.Duration
	maxAttempts    int
	timeout        time.Duration
	expiresAt      string
	uniqueKey      string
	idempotencyKey string
	backoff        []time.Duration
	tags           []string
	wait           time.Duration
	watch          bool
}

const defaultWait = 30 * time.Second

func (a *app) submitCommand() *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:   "submit KIND [JSON | @file | -]",
		Short: "Submit a task",
		Long: `Submit a task and print its id. The payload is JSON: given as it is, read from a file (@file) or from stdin (-); without one
it is {}. Once the id is printed the task survives the death of any process, PostgreSQL included.

With --wait the result is printed instead when the task completes; exit 7 when it fails or is cancelled, exit 6 when it
is not done in time. --watch shows its progress besides, and waits as long as it takes unless --wait says otherwise: a bar on a
terminal, else a line on stderr at each change; with -o json the whole task on stdout at each change.`,
		Example: `  scheduler submit report.generate '{"report_id": 42}' --queue reports
  scheduler submit mail.send @mail.json --in 10m --unique-key welcome:42
  scheduler submit demo.sleep '{"seconds": 20}' --watch`,
		Args: takes(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.submit(cmd, args, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	taskFlags(flags, &f)
	flags.StringVar(&f.at, "at", "", "do not start before this `time` (RFC 3339)")
	flags.DurationVar(&f.in, "in", 0, "do not start before so long from now")
	flags.StringVar(&f.expiresAt, "expires-at", "", "cancel it when it has not started by this `time` (RFC 3339)")
	flags.StringVar(&f.uniqueKey, "unique-key", "", "return the task of the queue that has this `key` and is not final, if there is one")
	flags.StringVar(&f.idempotencyKey, "idempotency-key", "", "the same request with this `key` again returns the same task")
	flags.StringArrayVar(&f.tags, "tag", nil, "find it by this `word`; can be given up to 16 times")
	flags.DurationVar(&f.wait, "wait", 0, "wait for the result, for so long; without a value for 30s")
	flags.Lookup("wait").NoOptDefVal = defaultWait.String()
	flags.BoolVar(&f.watch, "watch", false, "show progress until it ends")
	return cmd
}

// taskFlags declares what tasks and schedules have in common.
func taskFlags(flags *pflag.FlagSet, f *submitFlags) {
	flags.StringVar(&f.queue, "queue", "", "`name` of the queue (default \"default\")")
	flags.IntVar(&f.priority, "priority", 0, "lower runs first, -32768 to 32767")
	flags.IntVar(&f.maxAttempts, "max-attempts", 10, "give up after so many failures")
	flags.DurationVar(&f.timeout, "timeout", 0, "end an attempt that runs longer (default no limit)")
	flags.DurationSliceVar(&f.backoff, "backoff", nil, "wait so long after the first, second, … failure, as 1s,5s,1m; the last repeats (default exponential with jitter)")
}

func (a *app) submit(cmd *cobra.Command, args []string, f submitFlags) error {
	request, err := a.submitRequest(cmd, args, f)
	if err != nil {
		return err
	}
	d, err := a.door(cmd)
	if err != nil {
		return err
	}
	defer d.Close()
	id, err := d.Submit(a.traced(cmd.Context()), request)
	if err != nil {
		return doing(err, "submit the task")
	}
	switch {
	case cmd.Flags().Changed("wait"):
		ctx, cancel := context.WithTimeout(cmd.Context(), f.wait)
		defer cancel()
		return a.await(ctx, d, id, f)
	case f.watch:
		return a.await(cmd.Context(), d, id, f)
	case a.screen.JSON:
		task, err := d.Task(cmd.Context(), id)
		if err != nil {
			return doing(err, "read task %s, which was submitted", id)
		}
		return a.screen.PrintJSON(task)
	}
	if err := a.screen.Printf("%s", id); err != nil {
		return err
	}
	if a.screen.Interactive() && a.screen.ErrColumns != nil {
		a.screen.Hintf("watch it: scheduler tasks watch %s", id)
	}
	return nil
}

func (a *app) submitRequest(cmd *cobra.Command, args []string, f submitFlags) (r httpapi.SubmitRequest, err error) {
	if err := exclusive(cmd, "at", "in"); err != nil {
		return r, err
	}
	if len(args) > 1 {
		if r.Payload, err = a.payload(cmd, args[1]); err != nil {
			return r, err
		}
	}
	if r.RunAt, err = instant(cmd, "at", f.at); err != nil {
		return r, err
	}
	if r.ExpiresAt, err = instant(cmd, "expires-at", f.expiresAt); err != nil {
		return r, err
	}
	r.Kind, r.Queue, r.Priority, r.BackoffMS = args[0], f.queue, f.priority, milliseconds(f.backoff)
	r.Tags = f.tags
	changed := cmd.Flags().Changed
	if changed("in") {
		r.DelayMS = ms(f.in)
	}
	if changed("max-attempts") {
		r.MaxAttempts = &f.maxAttempts
	}
	if changed("timeout") {
		r.TimeoutMS = ms(f.timeout)
	}
	if changed("unique-key") {
		r.UniqueKey = &f.uniqueKey
	}
	if changed("idempotency-key") {
		r.IdempotencyKey = &f.idempotencyKey
	}
	return r, nil
}

func ms(d time.Duration) *int64 {
	n := d.Milliseconds()
	return &n
}

func milliseconds(list []time.Duration) []int64 {
	var out []int64
	for _, d := range list {
		out = append(out, d.Milliseconds())
	}
	return out
}

// instant reads a time that a flag holds; "": nil.
func instant(cmd *cobra.Command, flag, value string) (*time.Time, error) {
	if value == "" {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return nil, usage(cmd.CommandPath(), fmt.Sprintf("bad --%s %q", flag, value), "a time looks like %s", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}
	return &t, nil
}

// maxInput bounds what is read as a payload; the scheduler's own bound is lower and says so better.
const maxInput = 16 << 20

// payload reads JSON that is given as it is, as @file, or as - for stdin.
func (a *app) payload(cmd *cobra.Command, arg string) (json.RawMessage, error) {
	raw, source := []byte(arg), "the argument"
	name, isFile := strings.CutPrefix(arg, "@")
	if arg == "-" || isFile {
		in, err := a.stdin, error(nil)
		source = "stdin"
		if isFile {
			source = name
			file, openErr := os.Open(name)
			if err = openErr; err == nil {
				defer file.Close()
				in = file
			}
		}
		if err == nil {
			raw, err = io.ReadAll(io.LimitReader(in, maxInput))
		}
		if err != nil {
			return nil, usage(cmd.CommandPath(), "cannot read the payload", "%v", err)
		}
	}
	if !json.Valid(raw) {
		why := source + " does not hold JSON"
		if !isFile && arg != "-" {
			why = "it is not JSON; quote it as '{\"key\": \"value\"}', or give @file or - for stdin"
		}
		return nil, usage(cmd.CommandPath(), "bad payload", "%s", why)
	}
	return raw, nil
}
