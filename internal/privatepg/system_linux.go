package privatepg

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// knownDirs are the places where systems keep the server's programs, outside PATH more often than not.
var knownDirs = []string{
	"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
	"/usr/pgsql-*/bin",          // RHEL with PGDG packages
	"/usr/libexec/postgresql*",  // Alpine
}

// endWithParent asks the kernel to shut the server down (SIGINT: fast) when we die, killed or not.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }

// alive reports whether the server of this file runs. A process with its number may be another one by
// now; a server works in its data directory.
func (pm postmaster) alive() bool {
	work, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pm.pid))
	if err != nil {
		return false // gone, or somebody else's
	}
	data, err := filepath.EvalSymlinks(pm.data)
	return err == nil && work == data
}

// children are the processes that pid started and that have not ended.
func children(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		name := bytes.LastIndexByte(stat, ')') // "12 (name) S 1 …": the name may hold anything
		var state string
		var parent int
		if _, err := fmt.Sscan(string(stat[name+1:]), &state, &parent); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if parent == pid && state != "Z" && state != "X" {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path))) // digits only
			found = append(found, child)
		}
	}
	return found, nil
}

// memoryRoot is a tmpfs on nearly every system.
const memoryRoot = "/dev/shm"

// memoryLeft is the memory that may be taken, in bytes, 0 when nothing tells: what is available, or less where a container
// has a limit (the file is its own cgroup's there, and missing at the root).
func memoryLeft() (left int64) {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(info)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "MemAvailable:" { // "MemAvailable: 123 kB"
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			left = kilobytes << 10
		}
	}
	if limit, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if most, err := strconv.ParseInt(strings.TrimSpace(string(limit)), 10, 64); err == nil { // not "max"
			left = min(left, most)
		}
	}
	return left
}

// freeInMemory is the room in a file system in memory, in bytes, 0 for one that is not.
func freeInMemory(root string) int64 {
	var stats unix.Statfs_t
	if err := unix.Statfs(root, &stats); err != nil || stats.Type != unix.TMPFS_MAGIC {
		return 0
	}
	return int64(stats.Bavail) * int64(stats.Bsize)
}

// removeSegment removes the shared memory segment that a killed server left. The next server on the same
// files would; for a temporary cluster there is none. The key tells whether the id is still the server's.
func (pm postmaster) removeSegment() {
	var segment unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(pm.shmID, unix.IPC_STAT, &segment); err != nil || segment.Nattch != 0 || int(segment.Perm.Key) != pm.shmKey {
		return
	}
	unix.SysvShmCtl(pm.shmID, unix.IPC_RMID, nil) // a few bytes that stay until the next boot if this fails
}
