package ui_test

import (
	"fmt"
	"html"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/scheduler"
)

// strings that become markup, script or attributes where text is not escaped.
func attacks(t *testing.T) []string {
	t.Helper()
	raw, err := os.ReadFile("testdata/xss.txt")
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Split(strings.TrimSpace(string(raw)), "\n")
	if len(list) < 100 {
		t.Fatalf("only %d", len(list))
	}
	return list
}

// plant puts a string into every field of text that a row can hold, past the rules of the doors.
func (r *rig) plant(i int, attack string) scheduler.TaskID {
	r.t.Helper()
	id, worker := scheduler.NewTaskID(), scheduler.NewWorkerID()
	r.exec(`insert into scheduler.workers (id, name, host, version, language, queues, kinds, slots, running, ttl_ms) values ($1, $2, $2, $2, $2, array[$2], array[$2], 3, 1, 3600000)`, worker, attack)
	r.exec(`insert into scheduler.tasks (id, kind, queue, state, attempt, worker_id, started_at, finished_at, payload, result, error_code, error, progress_current, progress_total,
			progress_message, progress_data, progress_at, unique_key, idempotency_key, schedule, tick_at, tags)
		values ($1, $2, $2, ($4::text)::scheduler.task_state, 2, $3, now(), now(), jsonb_build_object($2::text, $2::text), jsonb_build_object($2::text, $2::text), $2, $2, 1, 3, $2, jsonb_build_object($2::text, $2::text), now(), $2, $2, $2, now(), array[$2])`,
		id, attack, worker, []string{"completed", "failed", "cancelled", "running", "ready", "scheduled"}[i%6])
	r.exec(`insert into scheduler.leases (worker_id, queue, task_ids) values ($1, $2, array[$3::uuid])`, worker, attack, id)
	r.exec(`insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, worker, started_at, error_code, error, stack) values ($1, 1, $2, $2, 'failed', $3, $2, now(), $2, $2, $2)`, id, attack, worker)
	r.exec(`insert into scheduler.task_logs (task_id, queue, attempt, message) values ($1, $2, 1, $2)`, id, attack)
	r.exec(`insert into scheduler.schedules (name, expression, zone, kind, queue, payload, error) values ($1 || $2::text, '* * * * *', $1, $1, $1, jsonb_build_object($1::text, $1::text), $1)`, attack, fmt.Sprint(i))
	r.exec(`alter table scheduler.subscriptions drop constraint if exists subscriptions_name_check, drop constraint if exists subscriptions_pattern_check, drop constraint if exists subscriptions_kind, drop constraint if exists subscriptions_queue`)
	r.exec(`insert into scheduler.subscriptions (name, pattern, kind, queue) values ($1 || $2::text, $1, $1, $1)`, attack, fmt.Sprint(i))
	r.exec(`insert into scheduler.messages (topic, payload) values ($1, jsonb_build_object($1::text, $1::text))`, attack)
	r.exec(`insert into scheduler.endpoints (name, url, secrets, queues, kinds, concurrency, timeout_ms, complete_within_ms, breaker_failures, breaker_pause_ms, state, opened_at, probe_at, last_error, last_error_at)
		values ($1 || $2::text, $1, '{}', array[$1], array[$1], 1, 1, 1, 1, 1, 'open', now(), now(), $1, now())`, attack, fmt.Sprint(i))
	r.exec(`insert into scheduler.queues (name, paused_at) values ($1, now()) on conflict do nothing`, attack)
	r.exec(`insert into scheduler.audit (actor, verb, task_id, target, detail) values ($1, $1, $2, $1, jsonb_build_object('reason', $1::text, $1::text, $1::text)), ($1, $1, null, $1, '{}')`, attack, id)
	r.exec(`insert into scheduler.bulk (id, verb, filter, reason, actor) values ($1, 'retry', jsonb_build_object('queue', $2::text, 'kind', $2::text, 'tag', $2::text, 'q', $2::text, 'error_group', $2::text), $2, $2)`, scheduler.NewTaskID(), attack)
	r.exec(`insert into scheduler.stats (minute, queue, kind, completed, failed, dead) values (date_trunc('minute', now()), $1, $1, 1, 30, $2)`, attack, i) // a burst
	r.exec(`insert into scheduler.schedule_ticks (schedule, tick_at, queue, task_id) values ($1 || $2::text, now(), $1, $3)`, attack, fmt.Sprint(i), id)
	r.exec(`insert into scheduler.tasks (kind, queue, run_at, created_at) values ($1, $1 || ' waits', now() - interval '9 min', now() - interval '9 min')`, attack)
	r.exec(`insert into scheduler.workers (id, name, host, version, queues, kinds, slots, ttl_ms, seen_at) values (gen_random_uuid(), $1, $1, $1, array[$1], array_fill($1::text, array[9]), 3, 1, now() - ($2::integer + 1) * interval '1 min')`, attack, i) // silent
	return id
}

var (
	attribute = regexp.MustCompile(`\s([a-zA-Z-]+)(?:=("[^"]*"|'[^']*'))?`)
	opening   = regexp.MustCompile(`^</?!?[a-zA-Z0-9]+`)
)

// TestEverythingIsText plants 100 strings in every field and looks at every page: none of them comes out as markup. The tags of
// a page are the same, whatever is planted, but for how many there are.
func TestEverythingIsText(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	all := attacks(t)
	var pages []string
	of := map[string]string{} // the attack that a page is about; a page that is missing is about all
	for i, attack := range all {
		id, before := r.plant(i, attack), len(pages)
		pages = append(pages, "/tasks/"+id.String(), "/tasks?"+url.Values{"kind": {attack}, "queue": {attack}, "tag": {attack}}.Encode(),
			"/tasks?"+url.Values{"text": {attack}, "state": {attack}}.Encode(), "/tasks?"+url.Values{"since": {attack}}.Encode(), "/dead?"+url.Values{"before": {attack}}.Encode(),
			"/login?"+url.Values{"next": {attack}}.Encode(), "/tasks?"+url.Values{"before": {attack}}.Encode(), "/tasks?"+url.Values{"group": {attack}}.Encode(),
			"/tasks?"+url.Values{"until": {attack}, attack: {attack}}.Encode(), "/tasks/"+url.PathEscape(attack), "/settings/"+url.PathEscape(attack), "/tasks/"+id.String()+"?"+url.Values{attack: {attack}}.Encode(), "/tasks/new?from="+id.String(), "/topics?"+url.Values{"edit": {attack}}.Encode())
		if i%10 == 0 { // long pages
			pages = append(pages, "/schedules?"+url.Values{"edit": {attack + fmt.Sprint(i)}}.Encode(), "/?"+url.Values{"span": {attack}}.Encode())
		}
		for _, page := range pages[before:] {
			of[page] = attack
		}
	}
	benign, known := map[string]bool{}, map[string][]string{}
	harmless := r.plant(3, "harmless")
	for _, path := range append([]string{"/tasks/" + harmless.String(), "/tasks?kind=harmless&queue=harmless&tag=harmless", "/tasks?state=harmless", "/login", "/schedules?edit=harmless3", "/tasks/new?from=" + harmless.String(), "/tasks?group=harmless", "/tasks?since=harmless"}, paths...) {
		for _, name := range names(r.get(path).body, known) {
			benign[name] = true
		}
	}
	answers := map[string]answer{}
	for _, path := range append(pages, paths...) {
		answers[path] = r.get(path)
	}
	for i, attack := range all {
		for path, form := range map[string]url.Values{
			"/login": {"token": {attack}, "name": {attack}, "next": {attack}}, "/queues/act": {"do": {"pause"}, "queue": {attack}, "back": {attack}},
			"/schedules/act": {"do": {"set"}, "name": {"x"}, "expression": {attack}, "zone": {attack}, "kind": {attack}, "payload": {attack}, "back": {attack}},
			"/tasks/act":     {"do": {attack}, "id": {attack}, "back": {attack}}, "/tasks/edit": {"id": {attack}, "payload": {attack}, "back": {attack}},
			"/tasks/submit": {"kind": {attack}, "queue": {attack}, "payload": {attack}, "tags": {attack}, "priority": {attack}, "back": {attack}},
			"/tasks/bulk":   {"do": {attack}, "filter": {"state=" + url.QueryEscape(attack)}}, "/workers/act": {"do": {attack}, "id": {attack}},
		} {
			name := fmt.Sprintf("POST %s %d", path, i)
			of[name], of[name+" next"] = attack, attack
			if answers[name] = r.post(path, form); answers[name].StatusCode == 303 { // what was done is said on the next page
				answers[name+" next"] = r.get("/tasks/" + harmless.String())
			}
		}
	}
	for path, a := range answers {
		if a.StatusCode >= 500 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
		for _, name := range names(a.body, known) {
			if !benign[name] {
				t.Errorf("%s has the tag %s", path, name)
			}
		}
		on := all
		if attack, ok := of[path]; ok {
			on = []string{attack}
		}
		for _, attack := range on {
			if strings.Contains(attack, "<") && strings.Contains(a.body, attack) {
				t.Errorf("%s has %q as it is", path, attack)
			}
		}
	}
	text := html.UnescapeString(r.get("/tasks/" + harmless.String()).body)
	if strings.Count(text, "harmless") < 15 {
		t.Errorf("the page of a task shows few of its fields:\n%s", text)
	}
}

// names are the tags of a page, and their attributes that hear of events. What is known of tags is kept: there are a hundred thousand,
// and few are different.
func names(page string, known map[string][]string) (list []string) {
	for _, found := range tags(page) {
		its, ok := known[found]
		if !ok {
			its = []string{opening.FindString(found)}
			if its[0] == "" { // a comment, a doctype: no page has others
				its[0] = found
			} else {
				for _, a := range attribute.FindAllStringSubmatch(found, -1) {
					if strings.HasPrefix(a[1], "on") {
						its = append(its, "event "+a[1])
					}
				}
			}
			known[found] = its
		}
		list = append(list, its...)
	}
	return list
}

// tags are all <…> of a page whose < a letter, / or ! follows, with what stands in double quotes left out.
func tags(page string) (list []string) {
	var bare strings.Builder
	for {
		before, rest, quoted := strings.Cut(page, `"`)
		_, after, ends := strings.Cut(rest, `"`)
		if !quoted || !ends {
			bare.WriteString(page)
			break
		}
		bare.WriteString(before + `""`)
		page = after
	}
	for text := bare.String(); ; {
		from := strings.IndexByte(text, '<')
		if from < 0 {
			return list
		}
		text = text[from:]
		if len(text) < 2 || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/!", rune(text[1])) {
			text = text[1:]
			continue
		}
		to := strings.IndexByte(text[2:], '>')
		if to < 0 {
			return list
		}
		list = append(list, text[:to+3])
		text = text[to+3:]
	}
}

// TestNothingRunsInABrowser: neither what the server renders nor what the module patches in runs anything, or calls elsewhere.
func TestNothingRunsInABrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	for i, attack := range attacks(t) {
		r.plant(i, attack)
	}
	tab := browser.Open(t, r.one+"/tasks?state=running")
	running, _, err := r.client.Tasks(t.Context(), scheduler.Filter{State: scheduler.Running})
	if err != nil || len(running) < 10 {
		t.Fatalf("%d run, %v", len(running), err)
	}
	tab.Await(`document.querySelector("#live").textContent === "live"`)
	r.exec(`update scheduler.tasks set progress_message = progress_message || '!', revision = revision + 1 where state = 'running'`)
	tab.Await(`[...document.querySelectorAll("tr[data-task-id] [data-field=note]")].every(n => n.textContent.includes("!"))`)
	if browser.Eval[bool](tab, `!!window.hit || document.querySelectorAll("main img, main iframe, main object, main embed, main script").length > 0`) {
		t.Error("something ran, or became an element")
	}
	for _, path := range paths {
		tab.Go(r.one + path)
		if browser.Eval[bool](tab, `!!window.hit || document.querySelectorAll("main img, main iframe, main object, main embed, main script").length > 0`) {
			t.Errorf("something ran on %s", path)
		}
	}
	for _, task := range running[:5] {
		tab.Go(r.one + "/tasks/" + task.ID.String())
		tab.Await(`document.querySelector("#live").textContent === "live"`)
		if browser.Eval[bool](tab, `!!window.hit || document.querySelectorAll("main img, main iframe, main script").length > 0`) {
			t.Errorf("something ran on the page of %q", task.Kind)
		}
	}
}

// TestLogLinesAreText: lines, messages and results of a handler come by the stream, and are text.
func TestLogLinesAreText(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	all := attacks(t)
	id := r.submit(scheduler.NewTask{Kind: "demo.echo", Payload: map[string]any{"lines": all}, Delay: 3600 * 1e9})
	tab := browser.Open(t, r.two+"/tasks/"+id.String())
	live(tab)
	r.work()
	tab.Click(`button[value=run]`)
	tab.Await(fmt.Sprintf(`document.querySelectorAll("#log li").length === %d && document.querySelector(".taskhead .state").textContent === "completed"`, len(all)))
	got := browser.Eval[[]string](tab, `[...document.querySelectorAll("#log .line")].map(l => l.textContent)`)
	for i, attack := range all {
		if got[i] != attack {
			t.Errorf("%q is shown as %q", attack, got[i])
		}
	}
	if browser.Eval[bool](tab, `!!window.hit || document.querySelectorAll("main img, main iframe, main script").length > 0`) {
		t.Error("something ran")
	}
}
