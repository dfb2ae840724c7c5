// Package conformance holds what every client of the two worker protocols has to do, as data, and the tests that hold
// clients and servers to it.
//
//	tasks.json ────► scheduler serve, scheduler worker --cmd ◄──► a client's conformance worker   both protocols, for real
//	children.json ─► the runner plays scheduler worker       ◄──► a client's conformance worker   frame by frame
//	leases.json ───► scheduler serve                         ◄──► the runner plays the worker     request by request
//
// Invariants: the workers of all languages get the same cases; a case says what must come to pass and never how soon; the
// runner talks to a server only by HTTP, and to a worker only by its descriptors and signals.
//
// It has no code but its tests: go test ./conformance. README.md says how to run them against a client that is not here.
package conformance
