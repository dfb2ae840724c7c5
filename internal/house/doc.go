// Package house holds the repository to its own rules, as far as a machine can: which package may import which, who owns
// which foreign package, how long a file may be, where SQL stands and what its headers say. It has tests only.
//
//	cmd/scheduler ──► httpapi, worker, metrics ──► scheduler ──► sql      (metrics ──► worker besides)
//	      └──► migrations (alone)
//
// A new package fails TestArrows until the table rooms says where it belongs.
package house
