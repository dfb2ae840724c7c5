// Package proc runs the programs that a test drives from outside: the scheduler itself, workers, interpreters.
//
//	server := proc.Start(t, exec.Command(proc.Scheduler(t), "serve", "--listen", "127.0.0.1:0"))
//	address := server.Says(`msg=serve address=(\S+)`)
//	server.Kill()
//
// Invariants:
//   - A program leads a process group of its own, and nothing of the group outlives the test, nor, on Linux, the test's process.
//   - What it writes is kept, and shown when the test fails.
//   - Without one of the programs that it needs a test is skipped and says what to install; with CI=true it fails.
//   - Every wait ends with what it waits for, or after Patience with a failure.
package proc
