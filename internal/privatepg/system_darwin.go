package privatepg

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// knownDirs are the places where installers put the server's programs.
var knownDirs = []string{
	"/opt/homebrew/opt/postgresql@*/bin", // on ARM
	"/usr/local/opt/postgresql@*/bin",    // on Intel
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// endWithParent does nothing: macOS has no parent-death signal.
func endWithParent(*syscall.SysProcAttr) {}

// alive reports whether the server of this file seems to run: some process of ours has its number.
func (pm postmaster) alive() bool { return syscall.Kill(pm.pid, 0) == nil }

// children are the processes that pid started and that have not ended.
func children(pid int) ([]int, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,stat=").Output()
	if err != nil {
		return nil, fmt.Errorf("ps: %w", err)
	}
	var found []int
	for line := range strings.Lines(string(out)) {
		var child, parent int
		var state string
		if _, err := fmt.Sscan(line, &child, &parent, &state); err != nil {
			return nil, fmt.Errorf("ps said %q: %w", line, err)
		}
		if parent == pid && !strings.HasPrefix(state, "Z") {
			found = append(found, child)
		}
	}
	return found, nil
}

// memoryRoot: macOS has no file system in memory.
const memoryRoot = ""

func memoryLeft() int64 { return 0 }

func freeInMemory(string) int64 { return 0 }

// removeSegment does nothing: the key of a segment, which tells whose it is, cannot be read here.
func (pm postmaster) removeSegment() {}
