package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// contestantNames are all of them, in the order of the table.
var contestantNames = []string{"ours", "river", "graphile", "pgboss", "floor", "floor-wide"}

// contestant is a queue that can be run.
type contestant struct {
	description
	command []string // before the workload
	env     []string
}

// description is what the report says of a contestant.
type description struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Settings string `json:"settings"`
}

// prepare builds and installs the contestants. Those that cannot be had are missing, with the reason; the error is ours alone.
func prepare(ctx context.Context, dir string, wanted []string) (ready []contestant, missing map[string]string, err error) {
	missing = map[string]string{}
	for _, name := range wanted {
		fmt.Fprintf(os.Stderr, "preparing %s\n", name)
		c, err := prepareOne(ctx, dir, name)
		switch {
		case err == nil:
			ready = append(ready, c)
		case name == "ours" || ctx.Err() != nil:
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		default:
			missing[name] = err.Error()
			fmt.Fprintf(os.Stderr, "%s cannot be run: %v\n", name, err)
		}
	}
	return ready, missing, nil
}

func prepareOne(ctx context.Context, dir, name string) (c contestant, err error) {
	c.Name = name
	switch name {
	case "ours":
		program := filepath.Join(dir, "scheduler")
		c.command = []string{program, "bench"}
		c.Version, c.Settings = commit(), "2,000 slots, otherwise as it comes"
		return c, goBuild(ctx, "..", program, "./cmd/scheduler")
	case "river":
		c.Version = moduleVersion("github.com/riverqueue/river")
		c.Settings = "MaxWorkers 2000, FetchCooldown 1 ms, FetchPollInterval 1 s, JobTimeout -1, InsertManyFast (COPY), pool of 10 (submit: one a client, 32 at most)"
		return c, c.goContestant(ctx, dir, "river")
	case "floor", "floor-wide":
		shape := "narrow"
		c.Settings = "bare SQL, a table of 11 columns; two loops lease 500 by tuple id and complete 500; prepared statements, pinned plans; one insert a transaction"
		if name == "floor-wide" {
			shape, c.Settings = "wide", "the same with the columns, flags, indexes and lease rows of a product"
		}
		c.Version, c.env = "of "+commit(), []string{"FLOOR_SHAPE=" + shape}
		return c, c.goContestant(ctx, dir, "floor")
	case "graphile":
		c.Settings = "concurrentJobs 24, localQueue.size 2000 (with fewer slots: as many, at least 25), completeJobBatchDelay 0, addJobs by 1,000; deletes what is completed"
		return c, c.nodeContestant(ctx, "graphile", "graphile-worker")
	}
	c.Settings = "batchSize 1000 (with fewer slots: as many), localConcurrency 2, burstWhenBatchFull, NOTIFY on, polls each 0.5 s"
	return c, c.nodeContestant(ctx, "pgboss", "pg-boss")
}

func (c *contestant) goContestant(ctx context.Context, dir, folder string) error {
	program := filepath.Join(dir, folder)
	c.command = []string{program}
	return goBuild(ctx, ".", program, "./contestants/"+folder)
}

func goBuild(ctx context.Context, in, program, pkg string) error {
	return command(ctx, in, "go", "build", "-o", program, pkg)
}

// nodeContestant installs the contestant's packages, exactly those of its lock file.
func (c *contestant) nodeContestant(ctx context.Context, folder, pkg string) error {
	node, err := findNode(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join("contestants", folder)
	if _, err := os.Stat(filepath.Join(dir, "node_modules", pkg)); errors.Is(err, fs.ErrNotExist) {
		if err := command(ctx, dir, "npm", "ci", "--no-audit", "--no-fund"); err != nil {
			return err
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return err
	}
	if found := regexp.MustCompile(`"` + pkg + `": "([^"]+)"`).FindSubmatch(raw); found != nil {
		c.Version = string(found[1]) + ", Node " + nodeVersion(ctx, node)
	}
	c.command = []string{node, filepath.Join(dir, "main.mjs")}
	return nil
}

// leastNode is what graphile-worker and pg-boss ask for.
var leastNode = []int{22, 18}

// findNode returns a Node that is new enough: the machine's own, else one installed beside the contestants.
func findNode(ctx context.Context) (string, error) {
	own, err := exec.LookPath("node")
	if err != nil {
		return "", errors.New("node is not installed")
	}
	if newEnough(nodeVersion(ctx, own)) {
		return own, nil
	}
	if _, err := exec.LookPath("npm"); err != nil {
		return "", errors.New("npm is not installed")
	}
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	dir := filepath.Join("contestants", "node")
	other, err := filepath.Abs(filepath.Join(dir, "node_modules", "node-"+runtime.GOOS+"-"+arch, "bin", "node"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(other); errors.Is(err, fs.ErrNotExist) {
		if err := command(ctx, dir, "npm", "ci", "--no-audit", "--no-fund"); err != nil {
			return "", err
		}
	}
	if !newEnough(nodeVersion(ctx, other)) {
		return "", fmt.Errorf("node is %s and has to be %d.%d or newer", nodeVersion(ctx, own), leastNode[0], leastNode[1])
	}
	return other, nil
}

func nodeVersion(ctx context.Context, node string) string {
	out, _ := exec.CommandContext(ctx, node, "--version").Output() // "" is not new enough
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "v")
}

func newEnough(version string) bool {
	var has []int
	for field := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(field)
		if err != nil {
			return false
		}
		has = append(has, n)
	}
	return slices.Compare(has, leastNode) >= 0
}

// moduleVersion is the version of a module that this program was built with.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	raw, _ := os.ReadFile("go.mod")
	if found := regexp.MustCompile(regexp.QuoteMeta(path) + ` (v\S+)`).FindSubmatch(raw); found != nil {
		return string(found[1])
	}
	return "unknown"
}

// commit is what the working tree was at in the beginning.
var commit = sync.OnceValue(func() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude", "*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
})

// command runs a command; what it has written is in the error.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		text := strings.TrimSpace(string(out))
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, text[max(0, len(text)-1000):])
	}
	return nil
}
