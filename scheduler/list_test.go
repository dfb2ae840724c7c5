package scheduler_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// listed returns the ids of all pages, and how many pages there were.
func (r *rig) listed(filter scheduler.Filter) (ids []scheduler.TaskID, pages int) {
	r.t.Helper()
	for {
		page, next, err := r.client.Tasks(r.ctx, filter)
		must(r.t, err)
		for _, task := range page {
			if len(ids) > 0 && task.ID.String() >= ids[len(ids)-1].String() {
				r.t.Errorf("%s behind %s", task.ID, ids[len(ids)-1])
			}
			ids = append(ids, task.ID)
		}
		if pages++; next.IsZero() {
			return ids, pages
		}
		filter.Before = next
	}
}

func TestListByTextAndTag(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	mail := r.submit(scheduler.NewTask{Kind: "Mail.Send", Payload: map[string]string{"to": "Ann@Example.org"}, Tags: []string{"customer:42", "eu"}})
	odd := r.submit(scheduler.NewTask{Kind: "odd", Queue: "q", Payload: "100%_\\", Tags: []string{"eu"}})
	failed := r.submit(scheduler.NewTask{Kind: "import"})
	r.exec(`update scheduler.tasks set state = 'running', worker_id = gen_random_uuid(), progress_message = 'Line 7 of 9' where id = $1`, failed)
	r.exec(`update scheduler.tasks set state = 'failed', error_code = 'error', error = 'Connection refused' where id = $1`, failed)
	for _, c := range []struct {
		filter scheduler.Filter
		want   []scheduler.TaskID
	}{
		{scheduler.Filter{Text: "mail.s"}, []scheduler.TaskID{mail}},
		{scheduler.Filter{Text: "ann@example"}, []scheduler.TaskID{mail}},
		{scheduler.Filter{Text: "CONNECTION REF"}, []scheduler.TaskID{failed}},
		{scheduler.Filter{Text: "line 7"}, []scheduler.TaskID{failed}},
		{scheduler.Filter{Text: "%_\\"}, []scheduler.TaskID{odd}},
		{scheduler.Filter{Text: "%"}, []scheduler.TaskID{odd}},
		{scheduler.Filter{Text: strings.ToUpper(odd.String()[:23])}, []scheduler.TaskID{odd}},
		{scheduler.Filter{Text: odd.String()[1:]}, nil},
		{scheduler.Filter{Text: "nowhere"}, nil},
		{scheduler.Filter{Tag: "eu"}, []scheduler.TaskID{odd, mail}},
		{scheduler.Filter{Tag: "eu", Limit: 1}, []scheduler.TaskID{odd, mail}},
		{scheduler.Filter{Tag: "eu", Queue: "q"}, []scheduler.TaskID{odd}},
		{scheduler.Filter{Tag: "eu", State: scheduler.Failed}, nil},
		{scheduler.Filter{Tag: "EU"}, nil},
		{scheduler.Filter{Tag: "customer:42", Kind: "Mail.Send", Text: "ann"}, []scheduler.TaskID{mail}},
		{scheduler.Filter{State: scheduler.Failed, Text: "refused"}, []scheduler.TaskID{failed}},
		{scheduler.Filter{State: scheduler.Ready, Text: "refused"}, nil},
	} {
		if got, _ := r.listed(c.filter); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.filter, got, c.want)
		}
	}
	must(t, r.client.Delete(r.ctx, failed))
	r.exec(`delete from scheduler.tasks where id = $1`, mail)
	r.exec(`update scheduler.tasks set tags = '{new}' where id = $1`, odd)
	if got := column[string](r, `select tag from scheduler.task_tags`); !slices.Equal(got, []string{"new"}) {
		t.Errorf("task_tags has %v", got)
	}
}

func TestListByTime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	var ids []scheduler.TaskID
	for i := range 3 { // an id is made of its milliseconds
		ids = append(ids, read[scheduler.TaskID](r, `insert into scheduler.tasks (id, kind) values (overlay(scheduler.uuidv7()::text
			placing substr(lpad(to_hex($1::bigint), 12, '0'), 1, 8) || '-' || substr(lpad(to_hex($1::bigint), 12, '0'), 9) from 1 for 13)::uuid, 'k')
			returning id`, at.Add(time.Duration(i)*time.Millisecond).UnixMilli()))
		if made := ids[i].Time(); !made.Equal(at.Add(time.Duration(i) * time.Millisecond)) {
			t.Fatalf("%s was made at %s", ids[i], made)
		}
	}
	for _, c := range []struct {
		filter scheduler.Filter
		want   []scheduler.TaskID
	}{
		{scheduler.Filter{CreatedAfter: at.Add(time.Millisecond)}, []scheduler.TaskID{ids[2], ids[1]}},
		{scheduler.Filter{CreatedBefore: at.Add(time.Millisecond)}, []scheduler.TaskID{ids[0]}},
		{scheduler.Filter{CreatedAfter: at, CreatedBefore: at.Add(2 * time.Millisecond), Kind: "k"}, []scheduler.TaskID{ids[1], ids[0]}},
		{scheduler.Filter{CreatedAfter: at, Before: ids[1], State: scheduler.Ready}, []scheduler.TaskID{ids[0]}},
		{scheduler.Filter{CreatedAfter: at.Add(time.Second)}, nil},
		{scheduler.Filter{CreatedBefore: time.Unix(-1, 0)}, nil},
	} {
		if got, _ := r.listed(c.filter); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.filter, got, c.want)
		}
	}
}

// A list that finds little looks at ScanMost tasks and says where to go on; it misses none and shows none twice.
func TestListsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const most = scheduler.ScanMost
	rare := r.submit(scheduler.NewTask{Kind: "rare", Tags: []string{"t"}})
	r.exec(`insert into scheduler.tasks (kind, state, queue) select 'k', 'failed', 'q' from generate_series(1, $1)`, most)
	r.exec(`insert into scheduler.tasks (kind) select 'k' from generate_series(1, $1)`, most)
	r.exec(`insert into scheduler.task_tags (tag, task_id, queue) select 't', id, queue from scheduler.tasks where kind = 'k'`)
	r.exec(`analyze scheduler.tasks`)
	newer := r.submit(scheduler.NewTask{Kind: "rare"})
	for _, c := range []struct {
		filter scheduler.Filter
		want   []scheduler.TaskID
		pages  int
	}{
		{scheduler.Filter{Kind: "rare"}, []scheduler.TaskID{newer, rare}, 3},
		{scheduler.Filter{Text: "rare"}, []scheduler.TaskID{newer, rare}, 3},
		{scheduler.Filter{Tag: "t", Kind: "rare"}, []scheduler.TaskID{rare}, 3},
		{scheduler.Filter{State: scheduler.Ready, Kind: "rare"}, []scheduler.TaskID{newer, rare}, 3},
		{scheduler.Filter{State: scheduler.Failed, Kind: "rare"}, nil, 1},
		{scheduler.Filter{State: scheduler.Running, Kind: "rare"}, nil, 1},
		{scheduler.Filter{CreatedAfter: newer.Time().Add(-time.Millisecond), Kind: "rare"}, []scheduler.TaskID{newer}, 1},
	} {
		if got, pages := r.listed(c.filter); !slices.Equal(got, c.want) || pages != c.pages {
			t.Errorf("%+v: %v on %d pages, want %v on %d", c.filter, got, pages, c.want, c.pages)
		}
	}
	r.exec(`insert into scheduler.tasks (kind, state, queue) values ('rare', 'failed', 'q')`)
	if got, pages := r.listed(scheduler.Filter{State: scheduler.Failed, Queue: "q", Kind: "rare"}); len(got) != 1 || pages != 2 {
		t.Errorf("dead: %v on %d pages", got, pages)
	}
}
