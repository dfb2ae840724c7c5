// Command run measures the scheduler beside its peers: one PostgreSQL, a fresh database for each run, contestants in turn (A B
// C, A B C, …), one table of medians and ratios.
//
//	plan ──► for each round, workload, contestant: create database ──► contestant -o json ──► drop database
//	              └── report: table on stdout, results/<date>-<commit>.json and .md
//
// It runs in folder bench, on a private PostgreSQL or on the one that BENCH_DATABASE_URL names, whose role may create
// databases. What could not be run is said in the report. Nothing stays behind but the results.
//
//	go run ./run --rounds 3 --workloads drain,e2e --contestants ours,river
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	rounds      int
	quick, full bool
	workloads   []string
	contestants []string
	out         string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if _, err := os.Stat("contestants"); err != nil {
		return errors.New("run this in folder bench, or `make bench`")
	}
	steps := plan(o)
	built, err := os.MkdirTemp("", "scheduler-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(built)) }()
	ready, missing, err := prepare(ctx, built, o.contestants)
	if err != nil {
		return err
	}
	db, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.stop(context.WithoutCancel(ctx))) }()
	about, err := describe(ctx, db, args)
	if err != nil {
		return err
	}
	r := report{About: about, Missing: missing}
	for _, c := range ready {
		r.Contestants = append(r.Contestants, c.description)
	}
	r.Runs = play(ctx, db, o.rounds, steps, ready)
	r.Rows, r.Goals = rows(r.Runs, steps), judge(r.Runs)
	if len(r.Rows) == 0 {
		return errors.Join(errors.New("nothing was measured"), ctx.Err())
	}
	if err := r.write(o.out); err != nil {
		return err
	}
	fmt.Print(r.text())
	fmt.Fprintf(os.Stderr, "\nwritten: %s.md, %s.json\n", o.out, o.out)
	return errors.Join(ctx.Err(), r.failed())
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 3, "how often each run is repeated")
	flags.BoolVar(&o.quick, "quick", false, "tiny runs, one round: does everything work?")
	flags.BoolVar(&o.full, "full", false, "backlog of 5 million tasks instead of 1 million")
	workloads := flags.String("workloads", "all", "comma-separated: "+strings.Join(names(), ", ")+", all")
	contestants := flags.String("contestants", "all", "comma-separated: "+strings.Join(contestantNames, ", ")+", all")
	flags.StringVar(&o.out, "out", "", "results go to this path, with .json and .md added")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.quick {
		o.rounds = 1
	}
	if o.rounds < 1 || o.rounds > 100 {
		return o, errors.New("--rounds is not 1 to 100")
	}
	if o.workloads, err = choose("--workloads", *workloads, names()); err != nil {
		return o, err
	}
	if o.contestants, err = choose("--contestants", *contestants, contestantNames); err != nil {
		return o, err
	}
	if o.out == "" {
		o.out = "results/" + time.Now().UTC().Format(time.DateOnly) + "-" + commit()
		if o.quick {
			o.out = "results/quick"
		}
	}
	return o, nil
}

// choose reads a list of known names, in the order in which they are known.
func choose(flag, list string, known []string) (chosen []string, err error) {
	wanted := strings.Split(list, ",")
	for _, name := range wanted {
		if name != "all" && !slices.Contains(known, name) {
			return nil, fmt.Errorf("%s: %q is none of %s", flag, name, strings.Join(known, ", "))
		}
	}
	for _, name := range known {
		if slices.Contains(wanted, name) || slices.Contains(wanted, "all") {
			chosen = append(chosen, name)
		}
	}
	return chosen, nil
}
