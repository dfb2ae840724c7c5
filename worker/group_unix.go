//go:build unix && !linux

package worker

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the child lead a process group. Only Linux can make it die with the worker.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func terminateGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGTERM) } // it may be gone
func killGroup(pid int)      { _ = syscall.Kill(-pid, syscall.SIGKILL) } // it may be gone
