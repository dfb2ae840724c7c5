-- endpoint_lock: makes whoever takes its turn at an endpoint wait for whoever has it; endpoint_turn, a statement later, then sees what they did.
-- @name. Rows: 1. 0: no such endpoint. Locks: the endpoint.
select 1 as held from scheduler.endpoints e where e.name = @name for update
