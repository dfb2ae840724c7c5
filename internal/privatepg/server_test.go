//go:build linux || darwin

package privatepg

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Fast: true})
	if got := query(t, s, "select current_database()"); got != "scheduler" {
		t.Errorf("database %q", got)
	}
	if got := query(t, s, "select split_part(current_setting('server_version'), ' ', 1)"); got != s.Version() {
		t.Errorf("Version() = %q, the server says %q", s.Version(), got)
	}
	if s.Attached() {
		t.Error("attached to a server of its own")
	}
	if !exists(filepath.Join(s.SocketDir(), ".s.PGSQL.5432")) {
		t.Error("no socket in SocketDir")
	}
	running := pids(t, s)
	for range 2 { // the second does nothing
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	mustBeGone(t, running)
	for _, path := range []string{string(s.dir), s.SocketDir()} {
		if exists(path) {
			t.Errorf("%s is still there", path)
		}
	}
	if err := s.Restart(t.Context()); err == nil {
		t.Error("a temporary cluster restarts after Stop")
	}
}

func TestStopAfterKillLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	pm, err := readPostmaster(s.dir.data())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if exists(string(s.dir)) || exists(s.SocketDir()) {
		t.Error("files are still there")
	}
	if segmentExists(pm.shmID) {
		t.Errorf("shared memory segment %d is still there", pm.shmID)
	}
}

func TestKillThenRestart(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{"durable": {}, "fast": {Fast: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, cfg)
			url := s.URL("scheduler")
			conn, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			for _, sql := range []string{"create table kept (n int)", "insert into kept values (1)", "begin", "insert into kept values (2)"} {
				if _, err := conn.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			running := pids(t, s)
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			mustBeGone(t, running)
			if err := conn.Ping(t.Context()); err == nil {
				t.Error("a connection survived")
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s.URL("scheduler") != url {
				t.Errorf("URL changed from %s to %s", url, s.URL("scheduler"))
			}
			if got := query(t, s, "select string_agg(n::text, ',') from kept"); got != "1" {
				t.Errorf("rows after the crash: %s, want the committed one", got)
			}
		})
	}
}

func TestHaltThenRestart(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Fast: true})
	query(t, s, "select set_config('x.y', '', false)")
	running := pids(t, s)
	for range 2 {
		if err := s.Halt(); err != nil {
			t.Fatal(err)
		}
	}
	mustBeGone(t, running)
	if !exists(string(s.dir)) {
		t.Fatal("Halt removed the cluster")
	}
	for range 2 { // the second shuts down and starts
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		query(t, s, "select 'it answers'")
	}
}

func TestRestartAfterStopOfKeptCluster(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Dir: filepath.Join(openDir(t), "cluster"), Fast: true})
	execute(t, s, "create table kept (n int)")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if exists(s.SocketDir()) {
		t.Error("the socket's directory is still there")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	query(t, s, "select count(*)::text from kept")
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		cfg  Config
		want map[string]string
	}{
		{"durable", Config{}, map[string]string{
			"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "max_connections": "100",
			"jit": "off", "TimeZone": "UTC", "listen_addresses": "", "shared_buffers": "128MB",
		}},
		{"fast", Config{Fast: true}, map[string]string{
			"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on", "max_connections": "1000", "listen_addresses": "",
		}},
		{"own", Config{Fast: true, Settings: map[string]string{"max_connections": "17", "search_path": `"a b", public`}}, map[string]string{
			"max_connections": "17", "search_path": `"a b", public`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, test.cfg)
			for name, want := range test.want {
				if got := query(t, s, "select current_setting('"+name+"')"); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			if got := query(t, s, "select pg_encoding_to_char(encoding) from pg_database where datname = 'scheduler'"); got != "UTF8" {
				t.Errorf("encoding %s", got)
			}
		})
	}
}

func TestStartFailsWithServersOwnWords(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "cluster")
	if err := start(t, Config{Dir: dir, Fast: true}).Stop(); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Config{Dir: dir, Settings: map[string]string{"max_connections": "many"}})
	mustSay(t, err, "max_connections", "many")
	start(t, Config{Dir: dir, Fast: true}) // the failure left the directory free
}

func TestInitdbThatWasCutShort(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "cluster")
	rest := filepath.Join(dir, "data.new", "base")
	if err := os.MkdirAll(rest, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data.new", "PG_VERSION"), []byte("15\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, Config{Dir: dir, Fast: true})
	if exists(filepath.Join(dir, "data.new")) {
		t.Error("what initdb left is still there")
	}
}
