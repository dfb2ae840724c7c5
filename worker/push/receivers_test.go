package push_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/proc"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker/push"
)

// The receivers in the guide are run as they stand there: they answer what is signed, and nothing else.
func TestReceiversOfTheGuide(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ language, file, program, install string }{
		{"php", "receive.php", "php -S 127.0.0.1:PORT", "vendor/autoload.php"},
		{"js", "receive.js", "node receive.js", "node_modules/@pgscheduler/scheduler"},
		{"python", "receive.py", "python3 receive.py", "pgscheduler.py"},
	} {
		t.Run(c.language, func(t *testing.T) {
			t.Parallel()
			argv := strings.Fields(c.program)
			proc.Need(t, argv[0])
			folder := t.TempDir()
			write := func(name, text string) {
				t.Helper()
				if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(c.file, snippet(t, c.language, c.file))
			write("package.json", `{"type": "module"}`)
			install(t, c.language, filepath.Join(folder, c.install))
			port := proc.FreePort(t)
			server := exec.Command(argv[0], strings.Fields(strings.ReplaceAll(strings.Join(argv[1:], " "), "PORT", port))...)
			server.Dir, server.Env = folder, append(os.Environ(), "SCHEDULER_SECRET="+secretA, "PORT="+port)
			proc.Start(t, server)
			receives(t, "127.0.0.1:"+port, "/"+c.file)
		})
	}
}

// snippet is a program of the guide.
func snippet(t *testing.T, language, file string) string {
	t.Helper()
	guide, err := os.ReadFile("../../docs/guides/push.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, found := strings.Cut(string(guide), "```"+language+"\n")
	code, _, ended := strings.Cut(code, "```")
	if first, _, _ := strings.Cut(code, "\n"); !found || !ended || !strings.HasSuffix(first, " "+file) {
		t.Fatalf("the guide has no %s in %s", file, language)
	}
	return code
}

// install puts the client where its package manager, or its README, would.
func install(t *testing.T, language, at string) {
	t.Helper()
	clients, err := filepath.Abs("../../clients")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(at), 0o700)
	}
	switch {
	case err != nil:
	case language == "php":
		err = os.WriteFile(at, []byte("<?php require '"+clients+"/php/src/autoload.php';"), 0o600)
	case language == "js":
		err = os.Symlink(filepath.Join(clients, "node"), at)
	default:
		err = os.Symlink(filepath.Join(clients, "python", "pgscheduler.py"), at)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func receives(t *testing.T, address, path string) {
	t.Helper()
	r := newRig(t, scheduler.NewEndpoint{}, nil)
	proc.Await(t, "the receiver listens", func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	submit := func(secrets ...string) scheduler.Task {
		r.set(scheduler.NewEndpoint{URL: "http://" + address + path, Secrets: secrets, BreakerFailures: 1000})
		r.await("the change", func() bool { return r.endpoint().Processes > 0 })
		return r.final(r.submit(scheduler.NewTask{MaxAttempts: 1, Payload: map[string]string{"name": "Žofie 😀"}}))
	}
	r.set(scheduler.NewEndpoint{URL: "http://" + address + path, Secrets: []string{secretB, secretA}})
	r.push(push.Config{}) // not before: it would deliver as the endpoint was until it hears of the change
	task := submit(secretB, secretA)
	var result struct{ Greeting string }
	if err := json.Unmarshal(task.Result, &result); err != nil || result.Greeting != "Hello, Žofie 😀!" {
		t.Errorf("%s: %s %s", task.State, task.Result, text(task.Error))
	}
	r.await("the other secret", func() bool { task = submit(secretB); return task.State == scheduler.Failed }) // the change is heard within a moment
	if text(task.ErrorCode) != "http_401" {
		t.Errorf("%s: %s", text(task.ErrorCode), text(task.Error))
	}
}
