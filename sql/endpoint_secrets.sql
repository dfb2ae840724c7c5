-- endpoint_secrets: what deliveries are signed with. Rows: one an endpoint. Locks: none.
select e.name, e.secrets from scheduler.endpoints e order by e.name
