package docs_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/metrics"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
	"github.com/pgscheduler/scheduler/worker/push"
)

// exposition is what /metrics answers in a process that has done a task.
func exposition(t *testing.T) string {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	client, err := scheduler.Open(t.Context(), scheduler.Config{DatabaseURL: pgtest.DB(t), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(context.Context, *worker.Task[struct{}]) (struct{}, error) { return struct{}{}, nil })
	w, err := worker.New(client, registry, worker.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	defer func() { stop(); <-ended }()
	task, err := client.Submit(ctx, scheduler.NewTask{Kind: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Wait(ctx, task.ID); err != nil {
		t.Fatal(err)
	}
	pusher, err := push.New(client, push.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.SetEndpoint(ctx, scheduler.NewEndpoint{Name: "shop", URL: "https://shop.example/", Kinds: []string{"pushed"}}); err != nil {
		t.Fatal(err)
	}
	pushing := make(chan error, 1)
	go func() { pushing <- pusher.Run(ctx) }()
	defer func() { stop(); <-pushing }()
	for tick := time.NewTicker(5 * time.Millisecond); len(pusher.Counts()) == 0; <-tick.C {
		if ctx.Err() != nil {
			t.Fatal("the endpoint is not delivered to")
		}
	}
	answer := httptest.NewRecorder()
	metrics.New(metrics.Config{Client: client, Worker: w, Pusher: pusher}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	return answer.Body.String()
}

var metricName = regexp.MustCompile(`\b(?:scheduler|process|go)_[a-z_]+\b`)

// TestMetricsAreDocumented: the page lists each metric with its type and meaning, and no other; dashboard and alerts use none that
// is not there.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	text := exposition(t)
	exist, shown := map[string]bool{}, map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`).FindAllStringSubmatch(text, -1) {
		exist[m[1]] = true
		if m[2] == "histogram" {
			exist[m[1]+"_bucket"], exist[m[1]+"_sum"], exist[m[1]+"_count"] = true, true, true
		}
		if strings.HasPrefix(m[1], "scheduler_") {
			shown[m[1]] = m[2]
		}
	}
	documented := map[string]string{}
	page := read(t, "guides/monitoring.md")
	for _, heading := range []string{"## What a process did", "## What a worker did", "## What the database says"} {
		for _, row := range tables(t, page, heading) {
			documented[unquote(row[0])] = row[1]
			if row[3] == "" {
				t.Errorf("%s: no meaning", row[0])
			}
			if help := "# HELP " + unquote(row[0]) + " " + row[3] + "\n"; !strings.Contains(text, help) {
				t.Errorf("%s: /metrics says something else: %s", row[0], help)
			}
		}
	}
	if diff := cmp.Diff(shown, documented); diff != "" {
		t.Errorf("/metrics (-) and monitoring.md (+) differ:\n%s", diff)
	}
	used := 0
	for file, expressions := range map[string][]string{"dashboard": dashboard(t), "alerts": alerts(t)} {
		for _, expression := range expressions {
			names := metricName.FindAllString(expression, -1)
			if len(names) == 0 {
				t.Errorf("%s: %q uses no metric", file, expression)
			}
			for _, name := range names {
				used++
				if !exist[name] {
					t.Errorf("%s: there is no metric %s", file, name)
				}
			}
		}
	}
	if used < 60 {
		t.Errorf("only %d metrics used", used)
	}
}

// dashboard returns the expressions of the dashboard.
func dashboard(t *testing.T) (expressions []string) {
	t.Helper()
	var d struct {
		Title  string
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/scheduler.json")), &d); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	return expressions
}

// alerts returns the expressions of the rules, each of which must say what is wrong and what to do.
func alerts(t *testing.T) (expressions []string) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(read(t, "prometheus/alerts.yml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, rule := range file.Groups[0].Rules {
		if seen[rule.Alert] || !strings.HasPrefix(rule.Alert, "Scheduler") || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" ||
			!slices.Contains([]string{"warning", "critical"}, rule.Labels["severity"]) {
			t.Errorf("%+v", rule)
		}
		if _, err := time.ParseDuration(rule.For); rule.For != "" && err != nil {
			t.Errorf("%s: %v", rule.Alert, err)
		}
		seen[rule.Alert] = true
		expressions = append(expressions, rule.Expr)
	}
	return expressions
}

// TestLogKeysAreDocumented: what is logged has the keys that the page lists, and no others.
func TestLogKeysAreDocumented(t *testing.T) {
	t.Parallel()
	used := map[string]bool{"time": true, "level": true, "msg": true}
	attribute := regexp.MustCompile(`slog\.(?:String|Int|Int64|Any|Duration|Bool|Time|Float64)\("([^"]+)"`)
	for _, room := range []string{"scheduler", "worker", "httpapi", "metrics", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, room), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			for _, match := range attribute.FindAllStringSubmatch(read(t, path), -1) {
				used[match[1]] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	documented := map[string]bool{"time": true, "level": true, "msg": true}
	for _, row := range tables(t, read(t, "guides/monitoring.md"), "## Logs") {
		for key := range strings.SplitSeq(row[0], ",") {
			documented[unquote(strings.TrimSpace(key))] = true
		}
	}
	if diff := cmp.Diff(used, documented); diff != "" {
		t.Errorf("keys in the code (-) and in monitoring.md (+):\n%s", diff)
	}
}
