package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/screen"
)

// tree is the command tree as the program builds it.
func tree() *cobra.Command {
	a := &app{screen: &screen.Screen{Out: io.Discard, Err: io.Discard}, lookupEnv: func(string) (string, bool) { return "", false }, draining: new(atomic.Bool)}
	root := a.rootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpFlag()
	return root
}

// walk calls visit for a command and all below it, in the order of help.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, child := range c.Commands() {
		walk(child, visit)
	}
}

// The reference is what the commands say of themselves.
func TestReference(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Command line\n\nWritten by `go test ./cmd/scheduler -run TestReference -update` from the commands' own help.\n")
	walk(tree(), func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		fmt.Fprintf(&b, "\n## %s\n\n", c.CommandPath())
		if !c.Runnable() && !c.HasAvailableSubCommands() { // a topic of help
			fmt.Fprintf(&b, "```text\n%s\n```\n", c.Long)
			return
		}
		about := c.Long
		if about == "" {
			about = c.Short + "."
		}
		if c.Parent() != nil && c.Parent().Name() == "completion" || c.Name() == "completion" || c.Name() == "help" {
			about = c.Short + "." // the rest is cobra's
		}
		fmt.Fprintf(&b, "%s\n\n```text\n%s\n```\n", about, strings.TrimSpace(usageOf(c)))
	})
	golden(t, filepath.Join("..", "..", "docs", "reference", "cli.md"), b.String())
}

// usageOf is a command's usage; the flags that all have are shown at the root only.
func usageOf(c *cobra.Command) string {
	before, after, found := strings.Cut(c.UsageString(), "\nGlobal Flags:\n")
	if !found {
		return before
	}
	_, rest, _ := strings.Cut(after, "\n\n")
	return before + rest
}

func TestHelpOfAProcess(t *testing.T) {
	t.Parallel()
	golden(t, filepath.Join("testdata", "help.golden"), cli{t: t}.ok("--help")+"\n")
	help, root := cli{t: t}.ok("help", "exit-codes"), cli{t: t}.ok()
	for _, e := range exitCodes {
		if !strings.Contains(help, fmt.Sprintf("%3d  %s", e.code, e.meaning)) {
			t.Errorf("help exit-codes lacks %d", e.code)
		}
	}
	if root != (cli{t: t}).ok("--help") {
		t.Error("without a command the program does not show its help")
	}
}

func TestEveryCommandHasAnExampleThatParses(t *testing.T) {
	t.Parallel()
	walk(tree(), func(c *cobra.Command) {
		if !c.Runnable() || c.Name() == "help" || c.Name() == "completion" || c.Parent() != nil && c.Parent().Name() == "completion" {
			return
		}
		if c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			checkExample(t, c.CommandPath(), line)
		}
	})
}

// checkExample parses the flags and arguments of an example with a fresh tree.
func checkExample(t *testing.T, path, line string) {
	t.Helper()
	command, _, _ := strings.Cut(line, " | ")
	argv, err := splitArgv(command)
	if err != nil {
		t.Errorf("%s: %q: %v", path, line, err)
		return
	}
	argv = argv[slices.Index(argv, "scheduler")+1:] // behind variables
	c, rest, err := tree().Find(argv)
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err == nil && c.Args != nil {
		err = c.Args(c, c.Flags().Args())
	}
	if err != nil {
		t.Errorf("%s: %q: %v", path, line, err)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		script := cli{t: t}.ok("completion", shell)
		if !strings.Contains(script, "scheduler") {
			t.Errorf("%s: %q", shell, script)
		}
		if path, err := exec.LookPath(shell); err == nil && shell != "powershell" {
			file := filepath.Join(t.TempDir(), "completion")
			if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(path, "-n", file).CombinedOutput(); err != nil {
				t.Errorf("%s -n: %v\n%s", shell, err, out)
			}
		}
	}
	for args, want := range map[string]string{
		"tasks list --state":  "blocked\nscheduled\nready\nrunning\ncompleted\nfailed\ncancelled\n",
		"tasks list --output": "text\njson\n",
		"serve --log-level":   "debug\ninfo\nwarn\nerror\n",
	} {
		if got := (cli{t: t}).ok(append(append([]string{"__complete"}, strings.Fields(args)...), "")...); !strings.HasPrefix(got, want) {
			t.Errorf("%s: completes to %q, want %q", args, got, want)
		}
	}
}

func TestUnknownCommandsGetSuggestions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, want string }{
		{"subimt", "did you mean submit?"},
		{"tasks wath", "did you mean watch?"},
		{"schedules nxt", "or next?"},
		{"frobnicate", `"scheduler" has no such command`},
	} {
		if stderr := (cli{t: t}).fails(exitUsage, strings.Fields(test.args)...); !strings.Contains(stderr, test.want) {
			t.Errorf("%s: %s", test.args, stderr)
		}
	}
}
