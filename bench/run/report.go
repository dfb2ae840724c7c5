package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is what is written.
type report struct {
	About       about             `json:"about"`
	Contestants []description     `json:"contestants"`
	Missing     map[string]string `json:"missing"` // contestants that could not be run, and why
	Rows        []row             `json:"rows"`
	Goals       []verdict         `json:"goals"`
	Runs        []outcome         `json:"runs"`
}

// about is where, when and how.
type about struct {
	Date     string            `json:"date"`
	Commit   string            `json:"commit"`
	Command  string            `json:"command"`
	Machine  string            `json:"machine"`
	Load     string            `json:"load_before"` // load averages when it began; empty: unknown
	Go       string            `json:"go"`
	Private  bool              `json:"private_server"`
	Settings map[string]string `json:"settings"` // of PostgreSQL
}

func describe(ctx context.Context, db *server, args []string) (a about, err error) {
	a = about{Date: time.Now().UTC().Format(time.RFC3339), Commit: commit(), Machine: machine(), Go: runtime.Version(), Private: db.private != nil,
		Command: strings.TrimSpace("go run ./run " + strings.Join(args, " "))}
	if raw, err := os.ReadFile("/proc/loadavg"); err == nil {
		a.Load = strings.Join(strings.Fields(string(raw))[:3], " ")
	}
	a.Settings, err = db.show(ctx)
	return a, err
}

// machine is the processor, how many cores, how much memory, and the system.
func machine() string {
	model, memory := "", ""
	raw, _ := os.ReadFile("/proc/cpuinfo") // other systems do not have it
	for text := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(text, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	raw, _ = os.ReadFile("/proc/meminfo") // the same
	var kB int64
	if n, _ := fmt.Sscanf(string(raw), "MemTotal: %d kB", &kB); n == 1 {
		memory = fmt.Sprintf("%d GiB, ", (kB+1<<19)>>20)
	}
	if model == "" {
		model = "unknown processor"
	}
	return fmt.Sprintf("%s, %d cores, %s%s/%s", model, runtime.NumCPU(), memory, runtime.GOOS, runtime.GOARCH)
}

// failed is an error that counts the runs that failed.
func (r report) failed() error {
	n := 0
	for _, o := range r.Runs {
		if o.Error != "" {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d runs failed; the report says why", n, len(r.Runs))
	}
	return nil
}

// write writes path.json and path.md.
func (r report) write(path string) error {
	raw, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return errors.Join(
		os.MkdirAll(filepath.Dir(path), 0o755),
		os.WriteFile(path+".json", append(raw, '\n'), 0o644),
		os.WriteFile(path+".md", []byte(r.markdown()), 0o644),
	)
}

func (r report) markdown() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("# Benchmark of %s at %s\n", r.About.Date[:10], r.About.Commit)
	say("- command, in `bench/`: `%s`", r.About.Command)
	say("- machine: %s; load before: %s", r.About.Machine, r.About.Load)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(r.About.Settings)) {
		list = append(list, name+"="+r.About.Settings[name])
	}
	say("- PostgreSQL (private: %v): %s; %s", r.About.Private, strings.Join(list, " "), r.About.Go)
	for _, c := range r.Contestants {
		say("- **%s** %s: %s", c.Name, c.Version, c.Settings)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Missing)) {
		say("- **%s** could not be run: %s", name, strings.ReplaceAll(r.Missing[name], "\n", " "))
	}
	say("\nMedians of the rounds; ratios are medians of each round's own ratio, ours divided by the other's.\n")
	head := header()
	say("| %s |\n|%s", strings.Join(head, " | "), strings.Repeat(" --- |", 3)+strings.Repeat(" ---: |", len(head)-3))
	for _, row := range r.Rows {
		say("| %s |", strings.Join(row.cells(), " | "))
	}
	say("\n## Goals\n\n| goal | bound | measured | |\n| --- | ---: | ---: | --- |")
	for _, g := range r.Goals {
		say("| %s |", strings.Join(g.cells(), " | "))
	}
	say("\n## Runs\n\nSteal is the share of the machine's CPU time that its host took away while the case was measured.\n")
	say("| round | workload | contestant | case | tasks | tasks/s | steal %% | slices, tasks/s | notes |\n| ---: | --- | --- | --- | ---: | ---: | ---: | --- | --- |")
	for _, o := range r.Runs {
		o.rows(say)
	}
	return b.String()
}

// rows writes a line for each case of a run.
func (o outcome) rows(say func(string, ...any)) {
	for _, c := range o.Results {
		figures := map[string]float64{}
		if c.PerSecond != nil {
			figures["rate"] = *c.PerSecond
		}
		if c.Steal != nil {
			figures["steal"] = *c.Steal
		}
		slices := strings.Trim(strings.ReplaceAll(fmt.Sprint(c.Slices), " ", ", "), "[]")
		say("| %d | %s | %s | %s | %d | %s | %s | %s | %s |", o.Round, o.Step, o.Contestant, c.Case, c.Tasks, number(figures, "rate"),
			number(figures, "steal"), slices, strings.Join(c.Notes, "; "))
	}
	if o.Error != "" {
		say("| %d | %s | %s | failed | | | | | %s |", o.Round, o.Step, o.Contestant, strings.ReplaceAll(o.Error, "\n", " "))
	}
}
