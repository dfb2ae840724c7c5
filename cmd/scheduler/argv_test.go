package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSplitArgv(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		line string
		argv []string
		err  string
	}{
		{line: ``},
		{line: " \t\n"},
		{line: `php worker.php`, argv: []string{"php", "worker.php"}},
		{line: `  a   b  `, argv: []string{"a", "b"}},
		{line: `a 'b c' "d e"`, argv: []string{"a", "b c", "d e"}},
		{line: `a'b'"c"d`, argv: []string{"abcd"}},
		{line: `'' ""`, argv: []string{"", ""}},
		{line: `a\ b \'`, argv: []string{"a b", "'"}},
		{line: `'a\b"$x'`, argv: []string{`a\b"$x`}},
		{line: `"a\"b\\c\$d\` + "`" + `e\f"`, argv: []string{`a"b\c$d` + "`" + `e\f`}},
		{line: `echo $HOME * | cat > x; rm`, argv: []string{"echo", "$HOME", "*", "|", "cat", ">", "x;", "rm"}},
		{line: `grüße 日本`, argv: []string{"grüße", "日本"}},
		{line: `'a`, err: "' is not closed"},
		{line: `"a`, err: `" is not closed`},
		{line: `a\`, err: `ends with a \`},
	} {
		argv, err := splitArgv(test.line)
		if !slices.Equal(argv, test.argv) || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q: %q, %v; want %q, %q", test.line, argv, err, test.argv, test.err)
		}
	}
}

// A shell that is given quotes, blanks and backslashes only takes them in the same way.
func TestSplitArgvAgreesWithTheShell(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.StringOfN(rapid.SampledFrom([]rune(`ab '"\  `)), 0, 14, -1).Draw(t, "line")
		argv, err := splitArgv(line)
		out, shellErr := exec.Command("sh", "-c", `printf '<%s>' `+line).Output()
		if err != nil && strings.Contains(err.Error(), "ends with") {
			return // the shell takes such a backslash for itself
		}
		if (err == nil) != (shellErr == nil) {
			t.Fatalf("%q: we say %v, the shell %v", line, err, shellErr)
		}
		want := ""
		for _, arg := range argv {
			want += "<" + arg + ">"
		}
		if want == "" {
			want = "<>" // what printf prints without arguments
		}
		if err == nil && string(out) != want {
			t.Fatalf("%q: the shell has %s, we have %s", line, out, want)
		}
	})
}
