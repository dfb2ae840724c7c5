// Package door is the way of the command line to the tasks: straight to the database, or through a server.
//
//	         ┌── SQL ──► scheduler.Client ──► PostgreSQL
//	Door ────┤
//	         └── HTTP ─► /v1 ──► httpapi ──► scheduler.Client ──► PostgreSQL
//
// Invariants. Both doors take and return the wire types of package httpapi and the errors of package scheduler, so that a
// command cannot tell which one it uses; a test compares what they print.
//
//	d := door.SQL(client)
//	defer d.Close()
//	id, err := d.Submit(ctx, httpapi.SubmitRequest{Kind: "report.generate"})
package door
