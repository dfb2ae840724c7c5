//go:build linux || darwin

package privatepg

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestAttach(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "cluster")
	owner := start(t, Config{Dir: dir, Fast: true})
	if _, err := os.Stat(filepath.Join(dir, "postgres.log")); err != nil {
		t.Error(err)
	}
	var said strings.Builder
	guest := start(t, Config{Dir: dir, Log: &said})
	if !guest.Attached() || guest.URL("x") != owner.URL("x") || guest.Version() != owner.Version() {
		t.Errorf("guest: attached %v, %s, version %s", guest.Attached(), guest.URL("x"), guest.Version())
	}
	if !strings.Contains(said.String(), dir) {
		t.Errorf("said %q", said.String())
	}
	for name, err := range map[string]error{"halt": guest.Halt(), "kill": guest.Kill(), "restart": guest.Restart(t.Context())} {
		if err == nil {
			t.Errorf("a guest may %s the server", name)
		}
	}
	if err := guest.Stop(); err != nil {
		t.Fatal(err)
	}
	query(t, owner, "select 'still running'")
}

func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "cluster")
	start(t, Config{Fast: true}) // skips the test without PostgreSQL
	servers := make([]*Server, 4)
	var starts sync.WaitGroup
	for i := range servers {
		starts.Go(func() {
			var err error
			if servers[i], err = Start(t.Context(), Config{Dir: dir, Fast: true}); err != nil {
				t.Error(err)
			}
		})
	}
	starts.Wait()
	var owners int
	for _, s := range servers {
		if s == nil {
			continue
		}
		if !s.Attached() {
			owners++
		}
		query(t, s, "select 'it answers'")
		defer s.Stop()
	}
	if owners != 1 {
		t.Errorf("%d of %d servers own the directory, want 1", owners, len(servers))
	}
}

func TestDirectoryInUse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "cluster")
	owner := start(t, Config{Dir: dir, Fast: true})
	if err := owner.Halt(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan *Server)
	go func() { // received below
		guest, err := Start(t.Context(), Config{Dir: dir, Fast: true}) // waits, for the directory is taken and no server answers
		if err != nil {
			t.Error(err)
		}
		ended <- guest
	}()
	if err := owner.Restart(t.Context()); err != nil {
		t.Error(err)
	}
	if guest := <-ended; guest != nil && !guest.Attached() {
		t.Errorf("a directory has two owners: %v", guest.Stop())
	}
}

func TestOddPaths(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"with spaces", "späßе 数据", `quote"s and 'these'`, "a,comma", "percent%20+plus&?#", strings.Repeat("long", 40)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, Config{Dir: filepath.Join(openDir(t), name, "cluster"), Fast: true})
			query(t, s, "select 'it answers'")
			if socket := filepath.Join(s.SocketDir(), ".s.PGSQL.5432"); len(socket) > longestSocket {
				t.Errorf("%s is too long", socket)
			}
		})
	}
}

// Changes the environment, so neither this test nor its parts run in parallel.
func TestOddTemporaryDirectories(t *testing.T) {
	base := openDir(t)
	if err := os.MkdirAll(filepath.Join(base, "closed", "inner"), 0o700); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(base, strings.Repeat("long", 40))
	for _, dir := range []string{long, filepath.Join(base, "spaß & 数据, 'x'")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, dir := range map[string]string{
		"missing":  filepath.Join(base, "missing"),
		"relative": "testdata/missing",
		"closed":   filepath.Join(base, "closed", "inner"),
		"file":     os.Args[0],
		"too long": long,
		"odd name": filepath.Join(base, "spaß & 数据, 'x'"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", dir)
			t.Setenv("XDG_RUNTIME_DIR", dir)
			s := start(t, Config{Fast: true})
			query(t, s, "select 'it answers'")
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			if exists(string(s.dir)) || exists(s.SocketDir()) || len(leftovers(t, dir)) > 0 {
				t.Errorf("left: %s, %s or %q", s.dir, s.SocketDir(), leftovers(t, dir))
			}
		})
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	s := &Server{socketDir: "/run/odd + näme%20&x", port: port}
	config, err := pgx.ParseConfig(s.URL("my db/ü"))
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != s.socketDir || config.Database != "my db/ü" || config.User != "postgres" || config.Port != port {
		t.Errorf("%s is read as host %q, database %q, user %q, port %d", s.URL("my db/ü"), config.Host, config.Database, config.User, config.Port)
	}
	if strings.Contains(s.URL("x"), "+") {
		t.Errorf("%s: libpq reads + as itself", s.URL("x"))
	}
}

func TestSocketDirOfSomebodyElse(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Fast: true})
	dir := openDir(t) // others may read it
	if err := takeSocketDir(t.Context(), dir, s.account, s.bin); err == nil {
		t.Error("took a directory that is open to others")
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(s.SocketDir(), link); err != nil {
		t.Fatal(err)
	}
	if err := takeSocketDir(t.Context(), link, s.account, s.bin); err == nil {
		t.Error("took a link")
	}
	mustSay(t, checkSocketPath("/tmp/"+strings.Repeat("x", longestSocket)), "bytes")
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	temporary := openDir(t)
	t.Setenv("TMPDIR", temporary)
	t.Setenv("XDG_RUNTIME_DIR", "")
	start(t, Config{Fast: true}).Stop()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := Start(ctx, Config{Log: cancelWriter(cancel)}) // cancels once initdb is announced
	if err == nil {
		t.Fatal("started")
	}
	if left := leftovers(t, temporary); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

type cancelWriter context.CancelFunc

func (w cancelWriter) Write(p []byte) (int, error) {
	w()
	return len(p), nil
}

func TestSweep(t *testing.T) {
	t.Parallel()
	root := openDir(t)
	made := make(map[string]*os.File)
	for _, name := range []string{"dead", "owned", "unlocked"} {
		d := directory(filepath.Join(root, temporaryPrefix+name))
		if err := os.Mkdir(string(d), 0o700); err != nil {
			t.Fatal(err)
		}
		if name == "unlocked" { // one that is just being made
			continue
		}
		lock, err := d.lockNew()
		if err != nil {
			t.Fatal(err)
		}
		made[name] = lock
	}
	made["dead"].Close()
	sweep(root)
	for name, want := range map[string]bool{"dead": false, "owned": true, "unlocked": true} {
		if got := exists(filepath.Join(root, temporaryPrefix+name)); got != want {
			t.Errorf("%s: exists %v, want %v", name, got, want)
		}
	}
	made["owned"].Close()
}
