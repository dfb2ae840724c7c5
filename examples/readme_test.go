//go:build unix

// Package examples_test runs what the README shows, word for word.
package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// root is the repository's, seen from this folder.
const root = ".."

// block is a fenced block of the README that is marked for testing.
type block struct{ mark, language, text string }

func blocks(t *testing.T) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var list []block
	for _, match := range regexp.MustCompile("(?ms)^<!-- tested(?:: )?(.*?) -->\n```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		list = append(list, block{match[1], match[2], match[3]})
	}
	return list
}

// marked returns the one block of a language with a mark; "*": any but none.
func marked(t *testing.T, language, mark string) block {
	t.Helper()
	var found []block
	for _, b := range blocks(t) {
		if b.language == language && (b.mark == mark || mark == "*" && b.mark != "") {
			found = append(found, b)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d blocks of %s are marked %q for testing, want 1", len(found), language, mark)
	}
	return found[0]
}

func TestFirstCommands(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var first []string
	for _, match := range regexp.MustCompile("(?ms)^```\\w*\n(.*?)^```$").FindAllStringSubmatch(string(text), 2) {
		first = append(first, match[1])
	}
	if got := strings.Join(first, ""); got != "make demo\nmake test\n" {
		t.Errorf("the first commands of the README are %q, want make demo and make test", got)
	}
}

func TestQuickStart(t *testing.T) {
	t.Parallel()
	api := background(t, marked(t, "sh", "background").text)
	text := strings.ReplaceAll(marked(t, "sh", "").text, "http://127.0.0.1:8080", api) // the port differs where 8080 is taken
	curl := true
	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("there is no curl here: its lines are left out")
		text, curl = regexp.MustCompile(`(?m)^curl .*\n`).ReplaceAllString(text, ""), false
	}
	out, err := shell(t.Context(), text).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	said := string(out)
	for what, pattern := range map[string]string{
		"the result":                     `(?m)^\{"slept": ?3\}\r?$`,
		"progress":                       `slept [012]\.\d of 3 seconds`,
		"why the task does not run":      `can run kind report\.generate; they can run: demo\.echo, demo\.sleep`,
		"the list, with what completed":  `(?m)\bcompleted\b.*\bdemo\.sleep\b`,
		"the list, with what cannot run": `(?m)\bready\b.*\breport\.generate\b`,
	} {
		if !regexp.MustCompile(pattern).MatchString(said) {
			t.Errorf("%s is missing (%s):\n%s", what, pattern, said)
		}
	}
	if !curl {
		return
	}
	ids := regexp.MustCompile(`"id": ?"([0-9a-f-]{36})","kind": ?"demo\.echo"`).FindAllStringSubmatch(said, -1)
	if len(ids) != 2 || ids[0][1] != ids[1][1] || strings.Count(strings.ToLower(said), "idempotency-replayed: true") != 1 {
		t.Errorf("the request sent twice did not give one task: %v\n%s", ids, said)
	}
}

// background starts a block that runs until Ctrl-C, and returns the URL that it prints once it is up.
func background(t *testing.T, text string) (api string) {
	t.Helper()
	cmd := shell(context.WithoutCancel(t.Context()), text)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // Ctrl-C reaches all that the shell started; it may be gone
		for lines.Scan() {                                 // until all of them have ended
			t.Log(lines.Text())
		}
		err := cmd.Wait()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT && exit.ExitCode() != 130) {
			t.Errorf("after Ctrl-C: %v\n%s", err, stderr.String())
		}
	})
	deadline := time.AfterFunc(3*time.Minute, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer deadline.Stop()
	address := regexp.MustCompile(`^ +api +(http://\S+)/v1`)
	for lines.Scan() {
		if match := address.FindStringSubmatch(lines.Text()); match != nil {
			api = match[1]
		}
		if strings.HasPrefix(lines.Text(), "Press Ctrl-C") && api != "" {
			return api
		}
	}
	t.Fatalf("it ended before it was up\n%s", stderr.String())
	return ""
}

// shell runs a script in the repository, as a user would who has set nothing.
func shell(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", script)
	cmd.Dir = root
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = proc.Environment()
	return cmd
}

func TestGoProgram(t *testing.T) {
	t.Parallel()
	program := marked(t, "go", "*")
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program.text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", file)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "SCHEDULER_DATABASE_URL="+pgtest.DB(t))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || strings.TrimSpace(string(out)) != program.mark {
		t.Errorf("the program says %q, want %q: %v\n%s", out, program.mark, err, stderr.String())
	}
}
