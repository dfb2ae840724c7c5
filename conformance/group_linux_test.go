package conformance

import "syscall"

// ownGroup is a process group that dies with the thread that started it, so that nothing outlives a test that is killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
