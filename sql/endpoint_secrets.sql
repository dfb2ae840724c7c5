-- endpoint_secrets: what deliveries are signed with, as of which change of the endpoint, and the time now. Rows: one an endpoint. Locks: none.
select e.name, e.secrets, e.updated_at, clock_timestamp() as clock from scheduler.endpoints e order by e.name
