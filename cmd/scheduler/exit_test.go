package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/privatepg"
	"github.com/pgscheduler/scheduler/internal/proc"
)

const nobody = "01a1fbc0-c975-7f37-a6be-a8f3e8777fbf" // an id that no task and no worker has

// None of these needs a database: what is wrong is seen before anything is asked.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	url := map[string]string{"SCHEDULER_DATABASE_URL": "postgres:///none?host=/nonexistent"}
	for _, test := range []struct{ line, says string }{
		{`frobnicate`, `unknown command "frobnicate"`},
		{`tasks frobnicate`, `unknown command "frobnicate"`},
		{`help frobnicate`, `no help about "frobnicate"`},
		{`help tasks frobnicate`, `no help about "tasks frobnicate"`},
		{`completion tcsh`, `unknown command "tcsh"`},
		{`tasks list extra`, `it takes at most 0`},
		{`tasks get`, `it takes at least 1`},
		{`tasks get 123`, `bad id "123"`},
		{`tasks watch 123`, `bad id "123"`},
		{`tasks list --limit 0`, `bad --limit 0`},
		{`tasks list --limit 5 --all`, `exclude each other`},
		{`tasks list --frobnicate`, `unknown flag: --frobnicate`},
		{`tasks list --limit many`, `bad --limit "many"`},
		{`tasks list -o yaml`, `bad --output "yaml"`},
		{`tasks list --log-level loud`, `bad --log-level "loud"`},
		{`tasks list --log-format xml`, `bad --log-format "xml"`},
		{`tasks list --database-url x --server http://x`, `exclude each other`},
		{`tasks list --server not-a-url`, `is not a URL`},
		{`tasks list --server ftp://x`, `is not a URL`},
		{`tasks list --database-url postgres://x:notaport/`, `cannot parse`},
		{`submit`, `it takes at least 1`},
		{`submit a b c`, `it takes at most 2`},
		{`submit a --wait 30s {}`, `an equals sign, as --wait=30s`},
		{`submit a {x}`, `it is not JSON`},
		{`submit a @/nonexistent`, `cannot read the payload`},
		{`submit a -`, `stdin does not hold JSON`},
		{`submit a --at tomorrow`, `bad --at "tomorrow"`},
		{`submit a --expires-at 1h`, `bad --expires-at "1h"`},
		{`submit a --in 1h --at 2030-01-01T00:00:00Z`, `--at and --in exclude each other`},
		{`submit a --backoff 1s,x`, `bad --backoff "1s,x"`},
		{`worker`, `none of --cmd, --exec, --demo and --push is given`},
		{`worker --demo --queue a:0`, `bad --queue "a:0"`},
		{`worker --demo --queue a:x`, `bad --queue "a:x"`},
		{`worker --demo --concurrency 0`, `bad --concurrency 0`},
		{`worker --demo --concurrency many`, `bad --concurrency "many"`},
		{`worker --demo --heartbeat 5`, `it is a duration, as 500ms`},
		{`worker --demo --poll 1ms`, `bad --poll 1ms`},
		{`migrate down --to x`, `bad --to "x"`},
		{`worker --exec nothing`, `it has the form kind='command args…'`},
		{`worker --exec 'k='`, `there is no command`},
		{`worker --exec 'k="'`, `is not closed`},
		{`worker --exec '?=true'`, `cannot be a kind`},
		{`worker --exec k=true --exec k=true`, `kind "k" is given twice`},
		{`worker --demo --exec demo.echo=true`, `kind "demo.echo" is given twice`},
		{`worker --exec k=/nonexistent/program`, `/nonexistent/program`},
		{`worker --demo --server http://x`, `does not work through --server`},
		{`doctor --server http://x`, `does not work through --server`},
		{`migrate --server http://x`, `does not work through --server`},
		{`serve --listen 0.0.0.0:8080`, `without a token`},
		{`serve --listen nonsense`, `it is not an address`},
		{`dev --listen 0.0.0.0:8080`, `without a token`},
		{`dev --ephemeral`, `a database is given`},
		{`dev --ephemeral --data-dir x`, `exclude each other`},
		{`schedules set a b`, `it takes at least 3`},
		{`schedules next a -n 0`, `bad -n 0`},
		{`workers quiet 123`, `bad id "123"`},
	} {
		argv, err := splitArgv(test.line)
		if err != nil {
			t.Fatal(err)
		}
		r := inProcess{env: url}.run(t, argv...)
		if r.code != exitUsage || !threeLines.MatchString(r.stderr) || !strings.Contains(r.stderr, test.says) || r.stdout != "" {
			t.Errorf("%s: exit %d, want it to say %q\n%s%s", test.line, r.code, test.says, r.stdout, r.stderr)
		}
	}
}

func TestNothingToTalkTo(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"tasks list", "migrate", "doctor", "worker --demo", "serve"} {
		if stderr := (cli{t: t}).fails(exitUsage, strings.Fields(command)...); !strings.Contains(stderr, "SCHEDULER_DATABASE_URL") || !strings.Contains(stderr, "scheduler dev") {
			t.Errorf("%s: %s", command, stderr)
		}
	}
}

// A server alone is not enough for what needs the database itself.
func TestServerWhereADatabaseIsNeeded(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"migrate", "doctor", "worker --demo"} {
		stderr := (cli{t: t, env: []string{"SCHEDULER_URL=http://127.0.0.1:1"}}).fails(exitUsage, strings.Fields(command)...)
		if !strings.Contains(stderr, "talks to the database only") || !strings.Contains(stderr, "--database-url postgres://") {
			t.Errorf("%s: %s", command, stderr)
		}
	}
}

func TestFlagsWinOverTheEnvironment(t *testing.T) {
	t.Parallel()
	const flag, own, server, common = "postgres:///flag", "postgres:///own", "http://server", "postgres:///common"
	for _, test := range []struct {
		name string
		env  map[string]string
		args []string
		want target
		ok   bool
	}{
		{name: "nothing"},
		{name: "flag", args: []string{"--database-url", flag}, env: map[string]string{"SCHEDULER_DATABASE_URL": own, "SCHEDULER_URL": server}, want: target{database: flag}, ok: true},
		{name: "server flag", args: []string{"--server", server}, env: map[string]string{"SCHEDULER_DATABASE_URL": own}, want: target{server: server}, ok: true},
		{name: "own before server", env: map[string]string{"SCHEDULER_DATABASE_URL": own, "SCHEDULER_URL": server}, want: target{database: own}, ok: true},
		{name: "server before common", env: map[string]string{"SCHEDULER_URL": server, "DATABASE_URL": common}, want: target{server: server}, ok: true},
		{name: "common before libpq", env: map[string]string{"DATABASE_URL": common, "PGHOST": "/tmp"}, want: target{database: common}, ok: true},
		{name: "libpq", env: map[string]string{"PGDATABASE": "x"}, ok: true},
		{name: "blank is not set", env: map[string]string{"SCHEDULER_DATABASE_URL": " ", "PGHOST": ""}},
	} {
		a := &app{lookupEnv: func(name string) (string, bool) { v, ok := test.env[name]; return v, ok }, draining: new(atomic.Bool)}
		cmd, rest, err := a.rootCommand().Find(append([]string{"tasks", "list"}, test.args...))
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Fatal(err)
		}
		got, ok, err := a.target(cmd)
		if got != test.want || ok != test.ok || err != nil {
			t.Errorf("%s: %+v, %v, %v; want %+v, %v", test.name, got, ok, err, test.want, test.ok)
		}
	}
}

func TestEnvironmentOfGlobalFlags(t *testing.T) {
	t.Parallel()
	env := map[string]string{"SCHEDULER_OUTPUT": "json"}
	if r := (inProcess{env: env}).run(t, "version"); !strings.HasPrefix(r.stdout, `{"version":`) {
		t.Errorf("SCHEDULER_OUTPUT: %q", r.stdout)
	}
	if r := (inProcess{env: env}).run(t, "version", "-o", "text"); !strings.HasPrefix(r.stdout, "scheduler ") {
		t.Errorf("flag over environment: %q", r.stdout)
	}
	if r := (inProcess{env: map[string]string{"SCHEDULER_LOG_LEVEL": "loud"}}).run(t, "version"); r.code != exitUsage {
		t.Errorf("SCHEDULER_LOG_LEVEL: %+v", r)
	}
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, _ string, c cli) {
		for _, command := range []string{"tasks get " + nobody, "tasks watch " + nobody, "tasks logs " + nobody, "tasks why " + nobody, "tasks cancel " + nobody,
			"tasks retry " + nobody, "tasks delete " + nobody, "workers quiet " + nobody, "schedules next none", "schedules trigger none",
			"schedules pause none", "schedules resume none", "schedules delete none"} {
			c.fails(exitNotFound, strings.Fields(command)...)
		}
	})
}

// What the scheduler refuses ends with the same code through both doors.
func TestRefusedValues(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, _ string, c cli) {
		for _, line := range []string{`submit ''`, `submit a '"\u0000"'`, `submit a --priority 99999`, `submit a --in -1s`, `submit a --max-attempts 0`,
			`submit a --timeout -1s`, `submit a --at 9999-12-31T23:59:59+23:59 --queue '?'`, `submit a --idempotency-key ''`, `submit a --unique-key ''`, `submit a --timeout 0`, `schedules set a @daily a --max-attempts 0`, `tasks list --state bogus`,
			`tasks list --cursor bogus`, `tasks list --queue '?'`, `tasks list --kind '?'`, `queues pause '?'`, `queues resume ''`, `schedules set '?' @daily a`,
			`schedules set a '61 * * * *' a`, `schedules set a @daily a --tz Mars/Base`, `schedules delete ..`} {
			argv, err := splitArgv(line)
			if err != nil {
				t.Fatal(err)
			}
			if r := c.run(argv...); r.code != exitUsage && !(line == `schedules delete ..` && r.code == exitNotFound) {
				t.Errorf("%s: exit %d\n%s", line, r.code, r.stderr)
			}
		}
	})
}

func TestConflict(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, _ string, c cli) {
		first := c.ok("submit", "a", "--unique-key", "u", "--idempotency-key", "i")
		c.fails(exitConflict, "tasks", "retry", first)
		c.fails(exitConflict, "tasks", "delete", first)
		if stderr := c.fails(exitConflict, "submit", "b", "--idempotency-key", "i"); !strings.Contains(stderr, first) {
			t.Errorf("the first task is not named: %s", stderr)
		}
		c.ok("tasks", "cancel", first)
		c.fails(exitConflict, "tasks", "cancel", first)
		c.ok("submit", "a", "--unique-key", "u")
		c.fails(exitConflict, "tasks", "retry", first)
	})
}

// Of several, those that can be done are; the first error decides the exit code, and each is told.
func TestSeveralAtOnce(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, _ string, c cli) {
		one, two := c.ok("submit", "a"), c.ok("submit", "a")
		c.ok("tasks", "cancel", two)
		r := c.run("tasks", "cancel", nobody, one, two)
		if r.code != exitNotFound || r.stdout != one+"  cancelled\n" || strings.Count(r.stderr, "error:") != 2 || !strings.Contains(r.stderr, "it is cancelled") {
			t.Errorf("%+v", r)
		}
		if r := c.run("tasks", "cancel", "nonsense", one); r.code != exitUsage {
			t.Errorf("malformed: %+v", r)
		}
	})
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	server := serve(t, url, "secret")
	httpDoor(t, server, "secret").ok("tasks", "list")
	for _, token := range []string{"", "wrong"} {
		if stderr := httpDoor(t, server, token).fails(exitAuth, "tasks", "list"); !strings.Contains(stderr, "SCHEDULER_TOKEN") {
			t.Errorf("%q: %s", token, stderr)
		}
	}
	httpDoor(t, server, "wrong").ok("tasks", "list", "--token", "secret")

	conn := connect(t, url)
	role := "t_limited_" + strings.ReplaceAll(nobody, "-", "") + fmt.Sprint(os.Getpid())
	execute(t, conn, "create role "+pgx.Identifier{role}.Sanitize())
	defer execute(t, conn, "drop role "+pgx.Identifier{role}.Sanitize())
	limited := sqlDoor(t, url)
	limited.env = append(limited.env, "PGOPTIONS=-c role="+role)
	limited.fails(exitAuth, "tasks", "list")
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	sqlDoor(t, "postgres:///x?host=/nonexistent").fails(exitUnreachable, "tasks", "list")
	sqlDoor(t, "postgres:///x?host=/nonexistent").fails(exitUnreachable, "migrate")
	sqlDoor(t, "postgres:///x?host=/nonexistent").fails(exitUnreachable, "worker", "--demo")
	config, err := pgx.ParseConfig(pgtest.DB(t))
	if err != nil {
		t.Fatal(err)
	}
	missing := fmt.Sprintf("host=%s port=%d user=%s dbname=there_is_none", config.Host, config.Port, config.User)
	if stderr := sqlDoor(t, missing).fails(exitUnreachable, "tasks", "list"); !strings.Contains(stderr, "there_is_none") {
		t.Errorf("no such database: %s", stderr)
	}

	const address = "http://127.0.0.1:1" // nobody listens there
	if stderr := httpDoor(t, address, "").fails(exitUnreachable, "tasks", "list"); !strings.Contains(stderr, address) {
		t.Errorf("no server: %s", stderr)
	}
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>hello")) }))
	defer stranger.Close()
	if stderr := httpDoor(t, stranger.URL, "").fails(exitUnreachable, "tasks", "list"); !strings.Contains(stderr, "is no scheduler server") {
		t.Errorf("stranger: %s", stderr)
	}
}

// A server whose database is gone, or is no longer migrated, is told apart from one that is not there.
func TestServerWithoutDatabase(t *testing.T) {
	t.Parallel()
	pg := pgtest.Server(t, nil)
	url := pg.URL("scheduler")
	sqlDoor(t, url).ok("migrate")
	c := httpDoor(t, serve(t, url, ""), "")
	c.ok("tasks", "list")
	execute(t, connect(t, url), "insert into scheduler.goose_db_version (version_id, is_applied) values (99, true)")
	execute(t, connect(t, url), "alter table scheduler.tasks rename to taken_away")
	c.fails(exitSchema, "tasks", "list")
	if err := pg.Halt(); err != nil {
		t.Fatal(err)
	}
	c.fails(exitUnreachable, "tasks", "list")
	if err := pg.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, url string, c cli) {
		conn := connect(t, url)
		for signal, code := range map[os.Signal]int{os.Interrupt: exitInterrupted, syscall.SIGTERM: exitTerminated} {
			p := c.start("submit", "nobody.runs.this", "--watch")
			p.Says("ready") // it knows by then which task it waits for
			p.Signal(signal)
			if got := p.Exit(); got != code || !threeLines.MatchString(p.Stderr.String()) || !strings.Contains(p.Stderr.String(), "scheduler tasks watch ") {
				t.Errorf("%v: exit %d, want %d\n%s", signal, got, code, p.Stderr)
			}
			id := value[string](t, conn, "select id::text from scheduler.tasks order by id desc limit 1")
			watch := c.start("tasks", "watch", id)
			watch.Says("ready")
			watch.Signal(signal)
			if got := watch.Exit(); got != code {
				t.Errorf("watch, %v: exit %d, want %d", signal, got, code)
			}
		}
	})
}

// Data that cannot be written is a failure, and not the database's.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = full.Close() })
	bothDoors(t, func(t *testing.T, _ string, c cli) {
		var stderr proc.Output
		cmd := c.command("queues", "list")
		cmd.Stdout, cmd.Stderr = full, &stderr
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) {
			t.Fatalf("it ended well: %v", err)
		}
		if code := cmd.ProcessState.ExitCode(); code != exitFailure || !threeLines.MatchString(stderr.String()) || !strings.Contains(stderr.String(), "no space") ||
			!strings.Contains(stderr.String(), "cannot write the output") {
			t.Errorf("exit %d\n%s", code, stderr.String())
		}
	})
}

// What no test can bring about for real: the error is made by hand.
func TestExplain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		code int
		run  string
	}{
		{&privatepg.NotFoundError{Why: "looked\neverywhere", Command: "apt-get install -y postgresql"}, exitUnreachable, "apt-get install -y postgresql"},
		{&privatepg.NotFoundError{Why: "looked"}, exitUnreachable, "install PostgreSQL, or set SCHEDULER_PG_BINDIR to the directory that holds initdb"},
		{&pgconn.PgError{Code: "28P01", Message: "password authentication failed"}, exitAuth, "the same command with the right user and password in --database-url"},
		{&pgconn.PgError{Code: "57P03"}, exitUnreachable, "scheduler doctor, or check --database-url and SCHEDULER_DATABASE_URL"},
		{errors.New("a bug\nof two lines"), exitFailure, "scheduler doctor"},
	} {
		p := explain(doing(test.err, "do it"))
		if p.code != test.code || p.run != test.run || p.what != "cannot do it" || p.why == "" || strings.Contains(p.why, "\n") {
			t.Errorf("%v: %+v", test.err, p)
		}
	}
}

// A URL that is not the one before /v1 is no missing task.
func TestServerAtAnotherPath(t *testing.T) {
	t.Parallel()
	server := serve(t, pgtest.DB(t), "secret")
	for _, command := range []string{"tasks list", "queues list", "submit k"} {
		c := httpDoor(t, server+"/elsewhere", "secret")
		if stderr := c.fails(exitUnreachable, strings.Fields(command)...); !strings.Contains(stderr, "has nothing at /elsewhere/v1/") || !strings.Contains(stderr, "the URL is not the one before /v1") {
			t.Errorf("%s: %s", command, stderr)
		}
	}
}
