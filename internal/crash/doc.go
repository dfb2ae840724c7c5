// Package crash holds the tests that kill: worker processes, a whole PostgreSQL, under load; and the books that say
// afterwards whether a task was lost or done twice.
//
//	test ──starts, SIGKILL, SIGSTOP, SIGTERM──► worker processes (this test binary, started anew)
//	 │                                              │ effects, in the transaction that completes
//	 └──submits──► PostgreSQL ◄─────────────────────┘
//	               ledger: what was accepted, what had effects, every change of a state (by a trigger of its own)
//
// Invariants: the ledger shares nothing with the scheduler but the database, and a test corrupts each of its books to see
// the audit notice it. Timings are logged; only "it never happens" is asserted.
//
// It has no code but its tests: go test ./internal/crash
package crash
