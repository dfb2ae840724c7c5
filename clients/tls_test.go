//go:build unix

package clients

import (
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/internal/proc"
)

// Programs that submit a payload of a size and print how the task ended; and, with no size, what is wrong.
var submitters = map[string]struct{ pack, worker, code string }{
	"node": {"nodejs", "node/tests/conformance_worker.js", `
		import { Client } from '@pgscheduler/scheduler';
		const size = Number(process.argv[2]);
		try {
			const client = new Client({ retries: 0 });
			const task = await client.wait((await client.submit({ kind: 'conformance.echo', queue: process.env.QUEUES, payload: 'x'.repeat(size) })).id);
			console.log(task.state, task.result.length);
		} catch (error) { console.log(error.name, error.status ?? '', error.message); }`},
	"python3": {"python3", "python/tests/conformance_worker.py", `
import os, sys
from pgscheduler import Client
size = int(sys.argv[1])
try:
    client = Client(retries=0)
    task = client.wait(client.submit("conformance.echo", "x" * size, queue=os.environ["QUEUES"])["id"])
    print(task["state"], len(task["result"]))
except Exception as error:
    print(type(error).__name__, getattr(error, "status", ""), error)`},
	"php": {"php-cli", "php/tests/conformance_worker.php", `<?php
		require getenv('PHP_CLIENT');
		$client = new PgScheduler\Client(getenv('SCHEDULER_URL'), getenv('SCHEDULER_TOKEN'), retries: 0);
		try {
			$task = $client->submit(new PgScheduler\NewTask('conformance.echo', str_repeat('x', (int) $argv[1]), getenv('QUEUES')));
			while (!$task->done) {
				$task = $client->task($task->id, waitSeconds: 30);
			}
			echo $task->state, ' ', strlen($task->result), "\n";
		} catch (PgScheduler\Exception\SchedulerException $e) { echo $e::class, ' ', $e->status ?? '', ' ', $e->getMessage(), "\n"; }`},
}

// TestTLS: clients speak https with payloads of many TLS records both ways, hear what is too large, and refuse a server that they
// can't believe with words that say so.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	backend, err := url.Parse(strings.TrimPrefix(s.env[0], "SCHEDULER_URL="))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(backend)
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	front := httptest.NewUnstartedServer(proxy)
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.StartTLS()
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	authority := filepath.Join(s.dir, "authority.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if err := os.WriteFile(authority, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	installNode(t, s.dir)
	installPython(t, s.dir)
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("all", func(t *testing.T) { // so that the server lives until all are done
		for interpreter, its := range submitters {
			t.Run(interpreter, func(t *testing.T) {
				t.Parallel()
				proc.Need(t, interpreter)
				program := filepath.Join(s.dir, "submit_"+interpreter+".js")
				if err := os.WriteFile(program, []byte(its.code), 0o600); err != nil {
					t.Fatal(err)
				}
				env := proc.Environment("SCHEDULER_URL="+front.URL, "SCHEDULER_TOKEN=secret", "QUEUES=tls-"+interpreter, "PYTHONPATH="+s.dir,
					"PHP_CLIENT="+filepath.Join(here, "php/src/autoload.php"))
				trusting := append(env, "SSL_CERT_FILE="+authority, "NODE_EXTRA_CA_CERTS="+authority)
				submit := func(env []string, size string) string {
					cmd := exec.CommandContext(t.Context(), interpreter, program, size)
					cmd.Env = env
					out, err := cmd.CombinedOutput()
					if err != nil {
						t.Errorf("%v", err)
					}
					return string(out)
				}
				worker := *s
				worker.t = t
				worker.start([]string{interpreter, filepath.Join(here, its.worker)}, trusting...)
				if got := submit(trusting, "250000"); got != "completed 250000\n" {
					t.Errorf("a payload of 250,000 bytes: %s", got)
				}
				for _, size := range []string{"1048576", "33554432"} { // the payload too large, the body too large
					if got := submit(trusting, size); !strings.Contains(got, " 413 ") && !strings.Contains(got, " 422 ") {
						t.Errorf("a payload of %s bytes: %s", size, got)
					}
				}
				plain := append(env, s.env[0])
				if got := submit(plain, "33554432"); !strings.Contains(got, " 413 ") {
					t.Errorf("33554432 bytes without TLS: %s", got)
				}
				if got := submit(env, "1"); !strings.Contains(got, "certificate") {
					t.Errorf("nobody vouches for the server: %s", got)
				}
			})
		}
	})
}
