// Package pgtest gives each test a PostgreSQL database of its own, or a whole PostgreSQL.
//
//	$SCHEDULER_TEST_DATABASE_URL, else a private cluster of this test process
//	├── tmpl_<hash of the migrations>    migrated once, by whoever comes first
//	├── t_<random>_<test>                DB: a copy of it
//	└── t_<random>_<test>                EmptyDB: nothing in it
//
// Invariants:
//   - No two tests share a database, so all of them may run in parallel: LISTEN, advisory locks and
//     statistics are scoped to a database too.
//   - DATABASE_URL and the PG* variables are never read. A test cannot touch a database that was not meant.
//   - A passed test leaves nothing. A failed one leaves its database when the cluster outlives the process,
//     and says how to open it.
//   - Without PostgreSQL on the machine a test is skipped and says what to install; with CI=true it fails.
//
// A package calls Main, or Tidy, from TestMain, to stop its private cluster. `make test` runs all packages on
// one cluster; so does `go run ./internal/pgtest/withpg -- go test ./...`, and with a shell as the command
// it gives you a cluster to look into what failed tests left.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestSubmit(t *testing.T) {
//		t.Parallel()
//		pool, err := pgxpool.New(t.Context(), pgtest.DB(t))
//		…
//		t.Cleanup(pool.Close)
//	}
package pgtest
