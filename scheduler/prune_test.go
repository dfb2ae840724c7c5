package scheduler_test

import "testing"

func TestOldStatsArePruned(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`insert into scheduler.stats (minute, queue, kind) select now() - i * interval '1 h', 'q', 'k' from generate_series(1, 2000) i`)
	r.maintain(r.client)
	await(t, "the old ones are gone", func() bool { return read[int](r, `select count(*) from scheduler.stats`) <= 168 })
	if n := read[int](r, `select count(*) from scheduler.stats`); n < 167 {
		t.Errorf("%d are left", n)
	}
}

// Actions and bulks stay for 90 days; a bulk that runs stays.
func TestOldActionsArePruned(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`insert into scheduler.audit (at, actor, verb, target) select now() - (3000 - i) * interval '90 min', 'a', 'v', 't' from generate_series(1, 3000) i`)
	r.exec(`insert into scheduler.bulk (id, verb, filter, actor, state, created_at, finished_at)
		select gen_random_uuid(), 'retry', '{}', 'a', state, now() - interval '1 year', now() - over from (values ('done', interval '91 days'), ('cancelled', '91 days'),
			('done', '89 days')) b(state, over)`)
	r.exec(`insert into scheduler.bulk (id, verb, filter, actor, created_at) values (gen_random_uuid(), 'retry', '{"queue":"none"}', 'a', now() - interval '1 year')`)
	r.maintain(r.client)
	await(t, "old actions are gone", func() bool { return read[int](r, `select count(*) from scheduler.audit`) <= 1441 })
	if n := read[int](r, `select count(*) from scheduler.audit`); n < 1440 {
		t.Errorf("%d actions are left", n)
	}
	await(t, "old bulks are gone", func() bool { return read[int](r, `select count(*) from scheduler.bulk`) == 2 })
}
