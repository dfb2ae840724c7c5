package proc

import (
	"os"
	"syscall"
	"testing"
)

// Script writes a program for sh. No process is started meanwhile: it would hold the file open for writing for a moment, in which
// nobody can run it (text file busy).
func Script(t testing.TB, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}
