package main

import (
	"fmt"
	"strings"

	"github.com/pgscheduler/scheduler/sql"
)

// variant is a way to store tasks: changes to the schema as the migrations make it, and the statements that go with it.
type variant struct {
	name                    string
	ddl                     []string
	insert, lease, complete string
	full, deletes           bool // insert takes what submit.sql takes; complete leaves no row
}

// variants are all that is compared; the first is the product's.
func variants() []variant {
	base := variant{insert: sql.SubmitPlain, lease: sql.Lease, complete: sql.Complete}
	with := func(name string, change func(*variant)) variant {
		v := base
		v.name = name
		change(&v)
		return v
	}
	filled := func(percent int) variant {
		return with(fmt.Sprintf("fillfactor %d", percent), func(v *variant) { v.fill(percent) })
	}
	payload := func(kind string) variant {
		return with("payload "+kind, func(v *variant) {
			v.ddl = []string{"alter table scheduler.tasks alter payload drop default, alter payload type " + kind}
			v.insert = replace(v.insert, "jsonb", kind)
		})
	}
	deleted := func(percent int) variant {
		return with(fmt.Sprintf("deleted on completion, fillfactor %d", percent), func(v *variant) {
			v.fill(percent)
			where := strings.Index(v.complete, "where ")
			v.complete = "delete from scheduler.tasks t\n" + v.complete[where:]
			v.complete = replace(v.complete, "where ", "where $5::jsonb[] is not null and ")
			v.deletes = true
		})
	}
	return []variant{
		with("as it is", func(*variant) {}),
		filled(35), filled(70), filled(85), filled(100),
		with("ready index on the state", func(v *variant) {
			v.ddl = []string{"drop index scheduler.tasks_ready",
				"create index tasks_ready on scheduler.tasks (queue, priority, run_at, id) where state = 'ready'"}
			v.lease = replace(v.lease, "and c.ready and", "and c.state = 'ready' and")
		}),
		with("an index over running rows", func(v *variant) {
			v.ddl = []string{"create index tasks_running on scheduler.tasks (worker_id) where state = 'running'"}
		}),
		payload("json"), payload("text"),
		deleted(50), deleted(100),
		with("inserted by submit.sql", func(v *variant) { v.insert, v.full = sql.Submit, true }),
		with("no transition trigger", func(v *variant) { v.ddl = []string{"drop trigger tasks_transition on scheduler.tasks"} }),
		with("no checks", func(v *variant) {
			v.ddl = []string{"alter table scheduler.tasks drop constraint tasks_running_has_worker, drop constraint tasks_run_at_finite"}
		}),
	}
}

func (v *variant) fill(percent int) {
	v.ddl = append(v.ddl, fmt.Sprintf("alter table scheduler.tasks set (fillfactor = %d)", percent))
}

// replace is strings.Replace that panics unless there is one place to replace: the statement has changed.
func replace(statement, old, by string) string {
	if strings.Count(statement, old) != 1 {
		panic(fmt.Sprintf("the statement has not one %q:\n%s", old, statement))
	}
	return strings.Replace(statement, old, by, 1)
}
