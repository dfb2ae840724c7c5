package worker

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the child lead a process group and die with the thread that started it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func terminateGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGTERM) } // it may be gone
func killGroup(pid int)      { _ = syscall.Kill(-pid, syscall.SIGKILL) } // it may be gone
