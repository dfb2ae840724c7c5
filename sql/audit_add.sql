-- audit_add: says who did what, beside statements that do not say so themselves. @actor, NULL: the database's role, @verb, @task, @target.
-- Rows: none. Locks: none.
insert into scheduler.audit (actor, verb, task_id, target) values (coalesce(@actor::text, session_user), @verb, @task, @target)
