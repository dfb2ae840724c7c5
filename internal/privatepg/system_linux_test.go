package privatepg

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// lives reports whether a process is there and not merely waiting to be collected.
func lives(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(status), "State:\tZ")
}

func segmentExists(id int) bool {
	var segment unix.SysvShmDesc
	_, err := unix.SysvShmCtl(id, unix.IPC_STAT, &segment)
	return err == nil
}

// mustRunAs checks every id of a process.
func mustRunAs(t *testing.T, pid int, a account) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		want := map[string]int{"Uid:": a.uid, "Gid:": a.gid}[fields[0]]
		if want == 0 {
			continue
		}
		for _, id := range fields[1:] {
			if id != strconv.Itoa(want) {
				t.Errorf("process %d: %s", pid, line)
			}
		}
	}
}

// TestServerEndsWithItsParent kills a process that has a server, as a test run that times out is killed.
func TestServerEndsWithItsParent(t *testing.T) {
	t.Parallel()
	start(t, Config{Fast: true}) // skips the test without PostgreSQL
	root := openDir(t)
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "PRIVATEPG_TEST_PARENT="+root, "TMPDIR="+root)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var family []int
	var dir string
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		if pid, err := strconv.Atoi(scanner.Text()); err == nil {
			family = append(family, pid)
			continue
		}
		dir = scanner.Text()
		break
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	parent.Wait() // says that it was killed
	if len(family) < 2 || dir == "" {
		t.Fatalf("the parent said: processes %v, directory %q", family, dir)
	}
	for _, pid := range family {
		eventually(t, fmt.Sprintf("end of process %d", pid), func() bool { return !lives(pid) })
	}
	sweep(root)
	if exists(dir) {
		t.Errorf("sweep left %s", dir)
	}
}

// beParent starts a server, prints its processes and its directory, and waits to be killed.
func beParent(string) {
	s, err := Start(context.Background(), Config{Fast: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	family, _ := children(s.process.cmd.Process.Pid)
	for _, pid := range append(family, s.process.cmd.Process.Pid) {
		fmt.Println(pid)
	}
	fmt.Println(s.dir)
	select {}
}

func TestFastClusterLiesInMemory(t *testing.T) { // not parallel: it sets the environment, and what is plenty
	t.Setenv("TMPDIR", "")
	usual := plenty
	t.Cleanup(func() { plenty = usual })
	lies := func(fast bool, want ...string) {
		t.Helper()
		if roots := memoryRoots(fast); !slices.Equal(roots, want) {
			t.Errorf("%d MiB left, %d in memory, %d needed, and a cluster, fast: %t, in %q", memoryLeft()>>20, freeInMemory(memoryRoot)>>20, plenty>>20, fast, roots)
		}
	}
	plenty = 1 << 60
	lies(true)
	if got := freeInMemory("/proc"); got != 0 {
		t.Errorf("/proc has room for %d bytes in memory", got)
	}
	if left, room := memoryLeft(), freeInMemory("/dev/shm"); left >= 1<<30 && room >= 1<<30 { // for this cluster; both change all the time
		plenty = left // and not as much again
		lies(true)
		plenty = 1
		lies(true, "/dev/shm")
		server := start(t, Config{Fast: true})
		if in := filepath.Dir(string(server.dir)); in != "/dev/shm" {
			t.Errorf("it lies in %s", in)
		}
	}
	plenty = 1
	lies(false)
	t.Setenv("TMPDIR", t.TempDir())
	lies(true)
}
