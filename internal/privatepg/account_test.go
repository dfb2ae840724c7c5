//go:build linux || darwin

package privatepg

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root drops to another account")
	}
}

func owner(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

func TestRootDropsToAnAccount(t *testing.T) {
	needRoot(t)
	for _, name := range []string{"", "nobody"} { // "" = postgres, if there is one
		t.Run("user "+name, func(t *testing.T) {
			t.Setenv("SCHEDULER_PG_USER", name)
			parent := openDir(t)
			s := start(t, Config{Dir: filepath.Join(parent, "cluster"), Fast: true})
			if name != "" && s.account.name != name {
				t.Errorf("account %q", s.account.name)
			}
			if s.account.uid == 0 || owner(t, s.dir.data()) != s.account.uid || owner(t, s.SocketDir()) != s.account.uid {
				t.Errorf("files belong to %d and %d, the account is %d", owner(t, s.dir.data()), owner(t, s.SocketDir()), s.account.uid)
			}
			if owner(t, parent) != 0 {
				t.Error("a directory that is not ours has changed owner")
			}
			info, err := os.Stat(s.SocketDir())
			if err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("socket directory: %v, %v", info.Mode(), err)
			}
			mustRunAs(t, pids(t, s)[0], s.account)

			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			t.Setenv("SCHEDULER_PG_USER", "daemon")
			again := start(t, Config{Dir: string(s.dir), Fast: true})
			if again.account.uid != s.account.uid {
				t.Errorf("a cluster that exists got another account: %s", again.account.name)
			}
		})
	}
}

func TestAccountThatDoesNotDo(t *testing.T) {
	needRoot(t)
	for _, name := range []string{"no-such-user", "root"} {
		t.Setenv("SCHEDULER_PG_USER", name)
		_, err := Start(t.Context(), Config{})
		mustSay(t, err, name)
	}
}

func TestClosedDirectoryIsRefusedBeforeInitdb(t *testing.T) {
	t.Parallel()
	needRoot(t)
	start(t, Config{Fast: true}) // skips the test without PostgreSQL
	closed := filepath.Join(openDir(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(closed, "cluster")
	_, err := Start(t.Context(), Config{Dir: dir})
	mustSay(t, err, dir, "may not enter "+closed)
	if exists(filepath.Join(dir, "data")) || strings.Contains(err.Error(), "initdb") {
		t.Errorf("went as far as initdb: %v", err)
	}
}

// Changes the umask of the process, so not in parallel.
func TestUmaskKeepsNobodyOut(t *testing.T) {
	needRoot(t)
	defer syscall.Umask(syscall.Umask(0o077))
	parent := openDir(t)
	start(t, Config{Dir: filepath.Join(parent, "a", "b", "cluster"), Fast: true})
}

// Changes the environment, so not in parallel.
func TestDefaultDir(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/data")
	want := "/data/scheduler/dev/15"
	if os.Geteuid() == 0 {
		want = "/var/lib/scheduler/dev/15"
	}
	if got, err := DefaultDir(15); err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	if os.Geteuid() == 0 {
		return
	}
	t.Setenv("XDG_DATA_HOME", "relative")
	t.Setenv("HOME", "/home/me")
	if got, err := DefaultDir(15); err != nil || got != "/home/me/.local/share/scheduler/dev/15" {
		t.Errorf("%s, %v", got, err)
	}
}
