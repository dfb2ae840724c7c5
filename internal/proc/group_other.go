//go:build !unix

package proc

import (
	"os"
	"os/exec"
)

// ownGroup does nothing: such groups are Unix's.
func ownGroup(*exec.Cmd) {}

func killGroup(leader *os.Process) { _ = leader.Kill() }
