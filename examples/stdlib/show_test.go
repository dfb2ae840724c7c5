package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProgressIsLinesWithoutTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{out: &out, width: func() int { return 0 }}
	s.wait("waiting")
	s.progress(0, 0, "")
	for done := range 21 {
		s.progress(done, 20, "w1 fmt")
	}
	want := ""
	for _, line := range []string{"10%  2/20", "20%  4/20", "30%  6/20", "40%  8/20", "50%  10/20", "60%  12/20", "70%  14/20", "80%  16/20",
		"90%  18/20", "100%  20/20"} {
		want += strings.Repeat(" ", 6-strings.Index(line, "%")-1) + line + " packages   w1 fmt\n"
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestBarStaysBelowLinesAndWithinTheTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{out: &out, width: func() int { return 40 }}
	s.progress(5, 10, "w1 fmt")
	s.say("a line")
	s.progress(10, 10, "a long list of what is going on")
	s.keep()
	s.say("after")
	want := clearLine + "  [========        ]  50%  5/10   w1 f…" +
		clearLine + "a line\n" +
		clearLine + "  [========        ]  50%  5/10   w1 f…" +
		clearLine + "  [================] 100%  10/10   a l…\n" +
		"after\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("screen (-want +got):\n%s", diff)
	}
}

func TestQueryAlignsNumbersRight(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{out: &out, width: func() int { return 0 }}
	s.query("select a\nfrom b", []string{"name", "n"}, [][]cell{{cellOf("x"), cellOf(int64(1234567))}, {cellOf("long one"), cellOf(nil)}})
	want := "  select a\n  from b\n\n" +
		"    name              n\n" +
		"    --------  ---------\n" +
		"    x         1,234,567\n" +
		"    long one\n\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"fmt": "fmt", ".": ".", "net/http": "net/http", "encoding/json/v2": "json/v2",
		"crypto/internal/fips140/aes": "fips140/aes", "internal/coverage/decodecounter": "decodecounter"} {
		if got := short(name); got != want {
			t.Errorf("short(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1: "-1", -999: "-999", -1000: "-1,000"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %q, want %q", n, got, want)
		}
	}
	if got := seconds(1240 * time.Millisecond); got != "1.2 s" {
		t.Errorf("seconds = %q", got)
	}
}
