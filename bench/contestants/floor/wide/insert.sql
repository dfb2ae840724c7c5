insert into task (id, queue, kind, payload) select r.id, 'default', 'noop', r.payload from unnest($1::uuid[], $2::jsonb[]) as r(id, payload)
