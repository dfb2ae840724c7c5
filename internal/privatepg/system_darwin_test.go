package privatepg

import (
	"syscall"
	"testing"
)

func lives(pid int) bool { return syscall.Kill(pid, 0) == nil }

func segmentExists(int) bool { return false }

func mustRunAs(*testing.T, int, account) {}

func beParent(string) {}
