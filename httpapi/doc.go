// Package httpapi is the HTTP JSON API: routes, wire forms, problems. What a task may become is package scheduler's; flags and
// exit codes are the command's.
//
//	request ─► ServeHTTP: id, headers, gate (host, origin, token), route ─► checkQuery ─► readBody ─► operation
//	                                                                                       │
//	           problemOf: every error ─► one code of a closed list ◄───────────────────────┤
//	                                                                                       ▼
//	           openapi.json ◄── the same Go types ── wire.go, request.go          scheduler.Client
//
// Two operations are answered past huma, which describes them: single submits, for speed (submit.go), and streams of lines,
// which are read, stored and answered by the thousand (lines.go, stream.go).
//
// Watch URLs (watch*.go) are for browsers without a token: signed, about one task, redacted, open to pages of every origin.
//
// Invariants: a body is bounded, UTF-8 and free of what PostgreSQL can't store before anything parses it; a request that is
// refused stored nothing; no input leads to a 500; tokens and payloads never reach a log; /healthz never asks the database.
// Every route is in the OpenAPI document, every error is a problem (RFC 9457) with a code of codes.go.
//
//	client, err := scheduler.Open(ctx, scheduler.Config{})
//	if err != nil {
//		return err
//	}
//	handler, err := httpapi.New(client, httpapi.Config{Token: os.Getenv("SCHEDULER_TOKEN")})
//	if err != nil {
//		return err
//	}
//	listener, err := net.Listen("tcp", "127.0.0.1:8080")
//	if err != nil {
//		return err
//	}
//	return httpapi.Serve(ctx, listener, handler, nil)
package httpapi
