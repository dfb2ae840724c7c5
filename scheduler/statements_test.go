package scheduler

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// feeds tells what the columns of each statement go into: a struct, the names of columns that are scanned into variables or
// into a struct of their function's own, or nil for a statement without rows.
var feeds = map[string]any{
	"accept":             []string{"id"},
	"accepted":           []string{"place", "expires_at", "cancelled"},
	"attempts":           Attempt{},
	"attempts_recent":    EndedAttempt{},
	"audit":              Audit{},
	"audit_add":          nil,
	"audit_prune":        []string{"id"},
	"audit_task":         Audit{},
	"edit":               []string{"queue", "state", "delay_ms"},
	"run_now":            []string{"state"},
	"bear":               []string{"set_config"},
	"bulk_find":          []string{"id"},
	"bulk_find_dead":     []string{"id"},
	"bulk_find_ready":    []string{"id"},
	"bulk_find_waiting":  []string{"id"},
	"bulk_find_running":  []string{"id"},
	"bulk_find_tagged":   []string{"id"},
	"bulk_move":          []string{"id"},
	"bulk_cancel":        []string{"id"},
	"bulk_do_cancel":     []string{"id"},
	"bulk_do_retry":      []string{"id"},
	"bulk_do_delete":     []string{"id"},
	"bulk":               Bulk{},
	"bulks":              Bulk{},
	"bulk_begin":         Bulk{},
	"bulk_prune":         []string{"id"},
	"bulk_take":          Bulk{},
	"bulk_next":          []string{"waits"},
	"dead_groups":        DeadGroup{},
	"cancel":             Outcome{},
	"checkpoint":         []string{"id"},
	"clock":              []string{"clock_timestamp"},
	"complete":           []string{"place"},
	"complete_tx":        []string{"id"},
	"counts":             StateCount{},
	"delete":             []string{"id"},
	"deregister":         nil,
	"doctor":             Health{},
	"due":                dueSchedule{},
	"endpoint_delete":    []string{"name"},
	"endpoint_lock":      []string{"held"},
	"endpoint_pause":     []string{"paused_at"},
	"endpoint_resume":    []string{"name"},
	"endpoint_secrets":   []string{"name", "secrets", "updated_at", "clock"},
	"endpoint_set":       Endpoint{},
	"endpoint_turn":      Turn{},
	"endpoints":          Endpoint{},
	"expire":             []string{"id"},
	"explain":            Reason{},
	"fail":               []string{"place", "state", "delay_ms"},
	"fire":               []string{"id", "queue"},
	"heartbeat":          Orders{},
	"lease":              leasedRow{},
	"lease_scout":        position{},
	"lease_some":         leasedRow{},
	"lease_tail":         position{},
	"log":                []string{"pg_notify"},
	"logs":               LogLine{},
	"logs_tail":          LogLine{},
	"notify":             []string{"pg_notify"},
	"pin":                []string{"seqscan", "bitmapscan", "sort"},
	"oldest_ready":       []string{"id"},
	"plan":               nil,
	"promote":            promoted{},
	"queue_pause":        []string{"paused_at"},
	"queue_resume":       []string{"resumed"},
	"queues":             QueueStatus{},
	"ready":              []string{"queue"},
	"reclaim":            []string{"id"},
	"register":           nil,
	"release":            []string{"place", "state", "delay_ms"},
	"ended":              []string{"place", "kind", "ran_ms", "waited_ms"},
	"enroll":             remoteState{},
	"held":               []string{"place"},
	"lease_timeout":      []string{"id"},
	"renew":              remoteState{},
	"settled_how":        []string{"place", "outcome", "state"},
	"sweep":              []string{"queue", "id", "attempt"},
	"time_out":           overdue{},
	"report":             reported{},
	"report_tx":          []string{"id"},
	"rescue":             []string{"id", "queue", "kind", "state", "attempt", "worker_id"},
	"rescue_next":        []string{"next_ms"},
	"retry":              []string{"state"},
	"schedule_delete":    []string{"name"},
	"schedule_pause":     []string{"paused_at"},
	"schedule_resume":    []string{"name"},
	"schedule_set":       Schedule{},
	"schedule_ticks":     Fired{},
	"schedules":          Schedule{},
	"schema_version":     []string{"version"},
	"settled":            []string{"?column?"},
	"snooze":             []string{"place", "state", "delay_ms"},
	"stats":              Stat{},
	"stats_add":          nil,
	"stats_prune":        []string{"minute"},
	"submit":             inserted{},
	"submit_conflict":    conflict{},
	"submit_plain":       []string{"created_at"},
	"survey":             Overview{},
	"task":               Task{},
	"tasks":              Task{},
	"tasks_dead":         Task{},
	"tasks_few":          []string{"few"},
	"tasks_floor":        []string{"id"},
	"tasks_floor_dead":   []string{"id"},
	"tasks_floor_tagged": []string{"id"},
	"tasks_ready":        Task{},
	"tasks_running":      Task{},
	"tasks_tagged":       Task{},
	"tasks_waiting":      Task{},
	"trigger":            []string{"id"},
	"watch_changed":      []string{"id"},
	"watch_lines":        watchedLine{},
	"watch_mark":         []string{"id"},
	"watch_read":         Task{},
	"worker_command":     []string{"id"},
	"workers":            Worker{},

	"messages":            StoredMessage{},
	"messages_bounds":     []string{"oldest", "newest"},
	"messages_prune":      []string{"messages", "ticks", "keys"},
	"messages_read":       []string{"tick", "id", "topic", "payload", "published_at"},
	"messages_tick":       tick{},
	"publish":             published{},
	"subscription_delete": []string{"name"},
	"subscription_set":    Subscription{},
	"subscriptions":       Subscription{},
}

var embedded = regexp.MustCompile(`(?m)^\t//go:embed (\w+)\.sql\n\t(\w+) string$`)

// statements returns the text of every file in folder sql, all of which must be embedded.
func statements(t *testing.T) map[string]string {
	t.Helper()
	source, err := os.ReadFile("../sql/sql.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, match := range embedded.FindAllStringSubmatch(string(source), -1) {
		names = append(names, match[1])
		if got := strings.ToLower(match[2]); got != strings.ReplaceAll(match[1], "_", "") {
			t.Errorf("%s.sql is embedded as %s", match[1], match[2])
		}
	}
	files, err := filepath.Glob("../sql/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".sql")
		if !slices.Contains(names, name) {
			t.Errorf("%s is not embedded in sql.go", file)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list[name] = string(text)
	}
	return list
}

func TestEveryStatementFitsTheSchemaAndItsStruct(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.DB(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for name, text := range statements(t) {
		if strings.Contains(text, "@") && !strings.Contains(text, "$1") {
			if text, _, err = (pgx.NamedArgs{}).RewriteQuery(t.Context(), conn, text, nil); err != nil {
				t.Errorf("%s.sql: %v", name, err)
				continue
			}
		}
		prepared, err := conn.Prepare(t.Context(), name, text)
		if err != nil {
			t.Errorf("%s.sql: %v", name, err)
			continue
		}
		feed, ok := feeds[name]
		if !ok {
			t.Errorf("%s.sql: the table feeds does not say what it goes into", name)
			continue
		}
		checkColumns(t, conn, name, prepared.Fields, feed)
	}
}

// checkColumns compares what a statement returns with what it goes into, by the rules of pgx.RowToStructByName.
func checkColumns(t *testing.T, conn *pgx.Conn, name string, fields []pgconn.FieldDescription, feed any) {
	t.Helper()
	var got []string
	for _, field := range fields {
		got = append(got, field.Name)
	}
	if names, ok := feed.([]string); ok || feed == nil {
		if diff := cmp.Diff(names, got); diff != "" {
			t.Errorf("%s.sql: columns (-want +got)\n%s", name, diff)
		}
		return
	}
	wanted := targets(reflect.TypeOf(feed))
	for _, field := range fields {
		key := strings.ReplaceAll(field.Name, "_", "")
		target, ok := wanted[key]
		if !ok {
			t.Errorf("%s.sql: column %s has no field in %T", name, field.Name, feed)
			continue
		}
		delete(wanted, key)
		for _, format := range []int16{pgx.BinaryFormatCode, pgx.TextFormatCode} {
			plan := conn.TypeMap().PlanScan(field.DataTypeOID, format, reflect.New(target).Interface())
			if strings.Contains(fmt.Sprintf("%T", plan), "scanPlanFail") {
				t.Errorf("%s.sql: column %s (type %d) cannot be scanned into %s", name, field.Name, field.DataTypeOID, target)
			}
		}
	}
	for key := range wanted {
		t.Errorf("%s.sql: no column for field %s of %T", name, key, feed)
	}
}

// targets returns the fields of a struct, those of embedded ones included, by their names without case and underscores.
func targets(of reflect.Type) map[string]reflect.Type {
	list := map[string]reflect.Type{}
	for i := range of.NumField() {
		field := of.Field(i)
		if field.Anonymous {
			for name, target := range targets(field.Type) {
				list[name] = target
			}
			continue
		}
		name := field.Tag.Get("db")
		if name == "" {
			name = field.Name
		}
		list[strings.ToLower(strings.ReplaceAll(name, "_", ""))] = field.Type
	}
	return list
}

// The lists by state and by tag must return the very same columns as the list of all.
func TestListsOfTasksDifferOnlyInWhereTheyLook(t *testing.T) {
	t.Parallel()
	list := statements(t)
	columns := func(name string) string {
		_, body, _ := strings.Cut(list[name], "\nselect ")
		body, _, _ = strings.Cut(body, "\nfrom ")
		return body
	}
	for _, name := range []string{"task", "tasks_dead", "tasks_ready", "tasks_running", "tasks_tagged", "tasks_waiting"} {
		if diff := cmp.Diff(columns("tasks"), columns(name)); diff != "" || columns(name) == "" {
			t.Errorf("tasks.sql and %s.sql:\n%s", name, diff)
		}
	}
}
