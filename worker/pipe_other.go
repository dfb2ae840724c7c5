//go:build !unix

package worker

// readNow is never called: there are no long-lived children here.
func readNow(uintptr, []byte) (n int, again bool) { return 0, false }
