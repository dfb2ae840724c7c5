//go:build !unix

package worker

import (
	"os"
	"os/exec"
)

// There are no process groups here; descriptor 3 does not reach the child either.
func ownGroup(*exec.Cmd) {}

func terminateGroup(pid int) { killGroup(pid) }

func killGroup(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill() // it may be gone
	}
}
