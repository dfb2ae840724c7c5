package main

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the child lead a process group, and asks it to end when this process is killed.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
