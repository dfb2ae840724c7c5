package httpapi

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestPages walks a list while tasks are added: nothing is missed, nothing comes twice, and what is newer than the first page
// does not appear.
func TestPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	var want []string
	for i := range 25 {
		want = append(want, r.submit(fmt.Sprintf(`{"kind":"k%d","queue":"a"}`, i%2)).ID)
		r.submit(`{"kind":"k0","queue":"b"}`)
	}
	slices.Reverse(want)
	var got []string
	path := "/v1/tasks?queue=a&limit=4"
	for pages := 1; path != ""; pages++ {
		a := r.get(path).want(200)
		page := read[Page[Task]](a)
		if len(page.Items) > 4 || pages > 10 {
			t.Fatalf("page %d has %d items", pages, len(page.Items))
		}
		for _, task := range page.Items {
			got = append(got, task.ID)
		}
		path = ""
		link := a.header.Get("Link")
		if page.NextCursor != nil {
			next, ok := strings.CutSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
			if !ok || !strings.Contains(next, url.QueryEscape(*page.NextCursor)) {
				t.Fatalf("Link is %q, next_cursor %s", link, *page.NextCursor)
			}
			path = next
		} else if link != "" {
			t.Errorf("the last page has a Link: %s", link)
		}
		r.submit(`{"kind":"late","queue":"a"}`)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d tasks\n%q\nwant %d\n%q", len(got), got, len(want), want)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	ready := r.submit(`{"kind":"a","queue":"q1"}`)
	scheduled := r.submit(`{"kind":"b","queue":"q1","delay_ms":3600000}`)
	cancelled := r.submit(`{"kind":"a","queue":"q2"}`)
	r.post(cancelled.Links.Cancel, "").want(200)
	failed := r.failedTask("mail.send")
	running, _ := r.runningTask("import")
	for query, want := range map[string][]Task{
		"":                                {running, failed, cancelled, scheduled, ready},
		"state=ready":                     {ready},
		"state=scheduled":                 {scheduled},
		"state=cancelled":                 {cancelled},
		"state=failed":                    {failed},
		"state=running":                   {running},
		"state=completed":                 {},
		"state=blocked":                   {},
		"queue=q1":                        {scheduled, ready},
		"kind=a":                          {cancelled, ready},
		"kind=a&queue=q1":                 {ready},
		"kind=a&queue=q1&state=cancelled": {},
		"queue=nobody":                    {},
	} {
		var wanted, got []string
		for _, task := range want {
			wanted = append(wanted, task.ID)
		}
		for _, task := range read[Page[Task]](r.get("/v1/tasks?" + query).want(200)).Items {
			got = append(got, task.ID)
		}
		if !slices.Equal(got, wanted) {
			t.Errorf("%s: %q, want %q", query, got, wanted)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	task := r.submit(`{"kind":"x"}`)
	got := r.post(task.Links.Cancel, `{"reason":"changed my mind"}`).want(200).task()
	if got.State != "cancelled" || !got.Done || got.Error == nil || got.Error.Message != "changed my mind" || got.FinishedAt == nil {
		t.Errorf("%+v", got)
	}
	if p := r.post(task.Links.Cancel, "").problem(CodeStateConflict); p.State != "cancelled" || p.TaskID != task.ID {
		t.Errorf("%+v", p)
	}
	running, _ := r.runningTask("import")
	if got := r.post(running.Links.Cancel, "").want(202).task(); got.State != "running" || !got.CancelRequested {
		t.Errorf("%+v", got)
	}
	failed := r.failedTask("mail.send")
	if p := r.post(failed.Links.Cancel, "").problem(CodeStateConflict); p.State != "failed" || !strings.Contains(p.Detail, "failed") {
		t.Errorf("the conflict does not say which state won: %+v", p)
	}
}

func TestRetryAndDelete(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	task := r.failedTask("mail.send")
	got := r.post(task.Links.Retry, "").want(200).task()
	if got.State != "ready" || got.Failures != 0 || got.Attempt != 1 || got.Error != nil {
		t.Errorf("%+v", got)
	}
	if attempts := read[Page[Attempt]](r.get(task.Links.Attempts).want(200)).Items; len(attempts) != 1 || *attempts[0].Stack != "main.go:1" {
		t.Errorf("the history is %+v", attempts)
	}
	if p := r.post(task.Links.Retry, "").problem(CodeStateConflict); p.State != "ready" {
		t.Errorf("%+v", p)
	}
	r.do("DELETE", task.Links.Self, "").problem(CodeStateConflict)
	r.post(task.Links.Cancel, "").want(200)
	if a := r.do("DELETE", task.Links.Self, "").want(204); len(a.body) != 0 {
		t.Errorf("deleted with %q", a.body)
	}
	r.get(task.Links.Self).problem(CodeNotFound)
	r.do("DELETE", task.Links.Self, "").problem(CodeNotFound)
}

func TestConditionalGet(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	task := r.submit(`{"kind":"x"}`)
	tag := r.get(task.Links.Self).want(200).header.Get("ETag")
	if tag != `"1"` {
		t.Fatalf("ETag %s", tag)
	}
	for _, header := range [][]string{{tag}, {`"0", ` + tag}, {"W/" + tag}, {"*"}, {`"0"`, tag}} {
		var headers []string
		for _, line := range header {
			headers = append(headers, "If-None-Match", line)
		}
		if a := r.get(task.Links.Self, headers...).want(304); len(a.body) != 0 || a.header.Get("ETag") != tag {
			t.Errorf("304 with %q, ETag %s", a.body, a.header.Get("ETag"))
		}
	}
	r.get(task.Links.Self, "If-None-Match", `"2"`).want(200)
	r.post(task.Links.Cancel, "").want(200)
	r.get(task.Links.Self, "If-None-Match", tag).want(200)
}

func TestLogs(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	task, _ := r.runningTask("import")
	var got []string
	for after := "0"; ; {
		page := read[Page[LogLine]](r.get(task.Links.Logs + "?limit=1&after=" + after).want(200))
		for _, line := range page.Items {
			got = append(got, line.Stream+" "+line.Message)
		}
		if page.NextCursor == nil {
			break
		}
		after = *page.NextCursor
	}
	if !slices.Equal(got, []string{"stdout first", "log second"}) {
		t.Errorf("%q", got)
	}
	if page := read[Page[LogLine]](r.get(r.submit(`{"kind":"x"}`).Links.Logs).want(200)); len(page.Items) != 0 || page.NextCursor != nil {
		t.Errorf("a task without lines has %+v", page)
	}
}

// TestWhy has reasons with and without advice.
func TestWhy(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	for body, want := range map[string]string{`{"kind":"x"}`: "no_worker_for_queue", `{"kind":"x","delay_ms":60000}`: "not_due"} {
		reasons := read[Page[Reason]](r.get(r.submit(body).Links.Why).want(200)).Items
		if len(reasons) == 0 || reasons[0].Code != want {
			t.Errorf("%s: %+v, want %s first", body, reasons, want)
		}
	}
}

func TestQueues(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	paused := read[QueuePause](r.post("/v1/queues/mail/pause", "").want(200))
	again := read[QueuePause](r.post("/v1/queues/mail/pause", "").want(200))
	if !paused.Paused || paused.PausedAt == nil || !paused.PausedAt.Equal(*again.PausedAt) {
		t.Errorf("%+v, then %+v", paused, again)
	}
	r.submit(`{"kind":"x","queue":"mail"}`)
	list := read[Page[Queue]](r.get("/v1/queues").want(200)).Items
	if len(list) != 1 || !list[0].Paused || list[0].Ready != 1 {
		t.Errorf("%+v", list)
	}
	for range 2 { // the second time there is nothing to undo
		if resumed := read[QueuePause](r.post("/v1/queues/mail/resume", "").want(200)); resumed.Paused {
			t.Errorf("%+v", resumed)
		}
	}
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	if page := read[Page[Worker]](r.get("/v1/workers").want(200)); page.Items == nil {
		t.Error("no workers are null, want an empty list")
	}
	_, worker := r.runningTask("import")
	for _, command := range []string{"quiet", "run", "stop"} {
		told := read[WorkerCommand](r.post("/v1/workers/"+worker.String()+"/"+command, "").want(202))
		list := read[Page[Worker]](r.get("/v1/workers").want(200)).Items
		if told.Command != command || list[0].Command != command {
			t.Errorf("told %s, is told %s, listed as %s", command, told.Command, list[0].Command)
		}
	}
	r.post("/v1/workers/"+worker.String()+"/run", "").problem(CodeNotFound)
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	a := r.do("PUT", "/v1/schedules/team%2Fnightly", `{"expression":"0 3 1 1 *","zone":"Europe/Paris","kind":"k","timeout_ms":5000}`).want(201)
	made := read[Schedule](a)
	if made.Name != "team/nightly" || a.header.Get("Location") != "/v1/schedules/team%2Fnightly" || made.Links.Self != a.header.Get("Location") {
		t.Errorf("%+v at %s", made, a.header.Get("Location"))
	}
	replaced := read[Schedule](r.do("PUT", made.Links.Self, `{"expression":"0 3 1 1 *","zone":"Europe/Paris","kind":"k2"}`).want(200))
	if replaced.Kind != "k2" || replaced.TimeoutMS != nil || !replaced.NextRunAt.Equal(*made.NextRunAt) {
		t.Errorf("%+v", replaced)
	}
	var ticks Page[string]
	for count := range []int{1, 2, 3} {
		ticks = read[Page[string]](r.get(made.Links.Next + "?count=" + strconv.Itoa(count+1)).want(200))
		if len(ticks.Items) != count+1 || ticks.Items[0] != made.NextRunAt.Format("2006-01-02T15:04:05Z07:00") {
			t.Errorf("%d ticks: %q, the next is %s", count+1, ticks.Items, made.NextRunAt)
		}
	}
	if paused := read[Schedule](r.post(made.Links.Pause, "").want(200)); !paused.Paused || paused.PausedAt == nil {
		t.Errorf("%+v", paused)
	}
	if default5 := read[Page[string]](r.get(made.Links.Next).want(200)); len(default5.Items) != 5 {
		t.Errorf("%d ticks of a paused schedule, want 5", len(default5.Items))
	}
	if resumed := read[Schedule](r.post(made.Links.Resume, "").want(200)); resumed.Paused {
		t.Errorf("%+v", resumed)
	}
	triggered := r.post(made.Links.Trigger, "").want(202)
	task := triggered.task()
	if task.Kind != "k2" || task.Schedule == nil || *task.Schedule != "team/nightly" || triggered.header.Get("Location") != task.Links.Self {
		t.Errorf("%+v at %s", task, triggered.header.Get("Location"))
	}
	if list := read[Page[Schedule]](r.get("/v1/schedules").want(200)).Items; len(list) != 1 {
		t.Errorf("%+v", list)
	}
	r.do("DELETE", made.Links.Self, "").want(204)
	r.get(made.Links.Self).problem(CodeNotFound)
	r.get(task.Links.Self).want(200)
	// A row that somebody wrote by SQL may hold what ParseCron refuses.
	r.exec(`insert into scheduler.schedules (name, expression, kind) values ('broken', 'nonsense', 'k')`)
	r.get("/v1/schedules/broken/next").problem(CodeBadCron)
}
