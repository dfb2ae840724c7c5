// Command scheduler runs and controls a durable task scheduler on PostgreSQL.
//
//	main ──► signals, environment, streams ──► app ──► one file a command ──► door: SQL or HTTP
//	  ▲                                                      │
//	  └── exit code ◄── explain: what, why, what to run ◄────┘ error
//
// Invariants. Only this package reads flags, environment and signals, and picks exit codes. Data goes to stdout, all else to
// stderr. Every error that ends a command is three lines.
//
//	scheduler dev
//	scheduler submit demo.sleep '{"seconds": 20}' --watch
package main
