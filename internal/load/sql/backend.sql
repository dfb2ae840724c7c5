-- backend: who serves this connection. local: it came by a socket or from the same address. Rows: 1. Locks: none.
select pg_backend_pid() as pid, coalesce(inet_client_addr() = inet_server_addr(), true) as local
