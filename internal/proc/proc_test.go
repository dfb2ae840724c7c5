//go:build unix

package proc

import (
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func sh(script string) *exec.Cmd { return exec.Command("sh", "-c", script) }

func TestItsEnd(t *testing.T) {
	t.Parallel()
	p := Start(t, sh("echo $PPID to stderr >&2; exit 3"))
	if code := p.Exit(); code != 3 || !p.Ended() {
		t.Errorf("exit %d", code)
	}
	if parent := p.Says(`(\d+) to stderr`); parent != strconv.Itoa(os.Getpid()) {
		t.Errorf("its parent is %s", parent)
	}
	p.Signal(syscall.SIGTERM) // it does nothing
	p.Kill()
	p = Start(t, sh("kill -9 $$"))
	if code, err := p.Wait(); code != -1 || err != nil {
		t.Errorf("exit %d, %v", code, err)
	}
}

// Kill leaves nothing of the group.
func TestKill(t *testing.T) {
	t.Parallel()
	p := Start(t, sh("sleep 1000 & echo its child is $!; wait"))
	child, err := strconv.Atoi(p.Says(`its child is (\d+)`))
	if err != nil {
		t.Fatal(err)
	}
	Await(t, "it is found", func() bool { // once it is sleep
		return slices.Equal(Descendants(p.Cmd.Process.Pid, "sleep", "!echo"), []int{child}) || exec.Command("test", "-d", "/proc/self").Run() != nil
	})
	if found := Descendants(p.Cmd.Process.Pid, "sleep", "1001"); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	p.Kill()
	Await(t, "the child is gone", func() bool { // or waits for whoever is to hear of it, which is not this test
		state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(child)).Output()
		return err != nil || strings.HasPrefix(string(state), "Z")
	})
}

func TestFilesAreTheChilds(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := sh("echo over 3 >&3")
	cmd.ExtraFiles = []*os.File{w}
	Start(t, cmd)
	said, err := io.ReadAll(r) // ends, as nobody else can write
	if err != nil || string(said) != "over 3\n" {
		t.Errorf("%q, %v", said, err)
	}
}

func TestEnvironment(t *testing.T) {
	for _, name := range []string{"SCHEDULER_URL", "SCHEDULER_TEST_DATABASE_URL", "PGHOST", "DATABASE_URL", "QUEUES", "TTL_MS"} {
		t.Setenv(name, "elsewhere")
	}
	t.Setenv("SCHEDULER_PG_BIN", "here")
	env := Environment("SCHEDULER_URL=there")
	if i := slices.IndexFunc(env, func(pair string) bool { return strings.HasSuffix(pair, "=elsewhere") }); i >= 0 {
		t.Errorf("there is %s", env[i])
	}
	if env[len(env)-1] != "SCHEDULER_URL=there" || !slices.Contains(env, "SCHEDULER_PG_BIN=here") || !slices.Contains(env, "PATH="+os.Getenv("PATH")) {
		t.Errorf("%v", env)
	}
}

func TestOutputKeepsTheLast(t *testing.T) {
	t.Parallel()
	var o Output
	for range 40 {
		_, _ = o.Write([]byte(strings.Repeat("x", 1<<16)))
	}
	_, _ = o.Write([]byte("end"))
	if s := o.String(); !strings.HasSuffix(s, "xend") || len(s) > 2<<20 {
		t.Errorf("%d bytes", len(s))
	}
}

func TestPortsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 50 {
		seen[FreePort(t)] = true
	}
	if len(seen) != 50 {
		t.Errorf("%d ports", len(seen))
	}
}
