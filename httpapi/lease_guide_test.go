package httpapi

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestTheWorkerOfTheGuideWorks runs the program of docs/guides/http-workers.md word for word.
func TestTheWorkerOfTheGuideWorks(t *testing.T) {
	t.Parallel()
	python := need(t, "python3", "python3")
	page, err := os.ReadFile("../docs/guides/http-workers.md")
	if err != nil {
		t.Fatal(err)
	}
	programs := regexp.MustCompile("(?ms)^```python\n(.*?)^```$").FindAllSubmatch(page, -1)
	if len(programs) != 1 {
		t.Fatalf("%d programs", len(programs))
	}
	file := filepath.Join(t.TempDir(), "worker.py")
	if err := os.WriteFile(file, programs[0][1], 0o600); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"open": "", "with a token": "a-token-of-many-letters"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Config{Token: token})
			auth := []string{"Authorization", "Bearer " + token}
			cmd := exec.CommandContext(t.Context(), python, file)
			cmd.Env = append(os.Environ(), "SCHEDULER_URL="+r.url, "SCHEDULER_TOKEN="+token)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }() // received below
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			await(t, "it waits", func() bool { return r.client.Counts().Polls == 1 })
			good := r.post("/v1/tasks", `{"kind":"text.measure","payload":{"text":"žluťoučký 🐎"}}`, append(auth, "Prefer", "wait=30")...).want(200).task()
			if !strings.Contains(string(good.Result), "11") {
				t.Errorf("%s %s", good.State, good.Result)
			}
			bad := r.post("/v1/tasks", `{"kind":"text.measure","payload":{},"max_attempts":1}`, append(auth, "Prefer", "wait=30")...).want(200).task()
			if bad.State != "failed" || bad.Error.Code != "KeyError" {
				t.Errorf("%s %+v", bad.State, bad.Error)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
			if workers := read[Page[Worker]](r.get("/v1/workers", auth...).want(200)); len(workers.Items) != 0 {
				t.Errorf("%+v", workers.Items)
			}
		})
	}
}
