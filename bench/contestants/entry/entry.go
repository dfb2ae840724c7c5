// Package entry is the command line that contestants in Go have in common:
//
//	<contestant> WORKLOAD --database-url URL [--tasks N] [--clients N,N] [--seconds N] [--concurrency N] [--payload N] -o json
//
// Results go to stdout, one JSON object a case, as `scheduler bench -o json` writes them.
//
//	func main() { entry.Main(open) }
package entry

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pgscheduler/scheduler/internal/load"
)

// Open opens a contestant on an empty database, or on one that it was on before.
type Open func(ctx context.Context, databaseURL string, setup load.Setup) (load.Subject, error)

// Main runs the workload that the command line names, and exits.
func Main(open Open) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, open, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, open Open, args []string) error {
	if len(args) == 0 {
		return errors.New("which workload?")
	}
	var o load.Options
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	url := flags.String("database-url", "", "")
	flags.IntVar(&o.Tasks, "tasks", 0, "")
	flags.IntVar(&o.Slots, "concurrency", 0, "")
	flags.IntVar(&o.Payload, "payload", 0, "")
	flags.Func("seconds", "", func(s string) error {
		n, err := strconv.Atoi(s)
		o.Window = time.Duration(n) * time.Second
		return err
	})
	flags.Func("clients", "", func(s string) error {
		for field := range strings.SplitSeq(s, ",") {
			n, err := strconv.Atoi(field)
			if err != nil {
				return err
			}
			o.Clients = append(o.Clients, n)
		}
		return nil
	})
	flags.Func("o", "", func(s string) error {
		if s != "json" {
			return errors.New("only json")
		}
		return nil
	})
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	b := load.Bench{DatabaseURL: *url, Open: func(ctx context.Context, setup load.Setup) (load.Subject, error) {
		return open(ctx, *url, setup)
	}}
	out := json.NewEncoder(os.Stdout)
	return b.Run(ctx, args[0], o, func(r load.Result) error { return out.Encode(r) })
}
