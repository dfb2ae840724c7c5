package screen

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"pgregory.net/rapid"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"": "",
		"plain text, Grüße, 日本, 👩‍👧": "plain text, Grüße, 日本, 👩‍👧",
		"a\nb\tc\r":                 `a\nb\tc\r`,
		"\x1b[2J\x1b]0;title\x07":   `\x1b[2J\x1b]0;title\x07`,
		"\x00\x7f":                  `\x00\x7f`,
		"\u009b31m":                 `\u009b31m`,
		"invoice\u202efdp.exe":      `invoice\u202efdp.exe`,
		"\u2066x\u2069\ufeff\u2028": `\u2066x\u2069\ufeff\u2028`,
		"bad \xff\xc3 bytes":        `bad \xff\xc3 bytes`,
		"a real \ufffd":             "a real \ufffd",
	} {
		if got := Clean(given); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

// Whatever comes, nothing gets through that a terminal obeys, and cleaning twice changes nothing more.
func TestCleanHasNoHoles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		given := string(rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "runes") {
			given = rapid.String().Draw(t, "text")
		}
		clean := Clean(given)
		if !utf8.ValidString(clean) || strings.ContainsFunc(clean, unicode.IsControl) || Clean(clean) != clean {
			t.Fatalf("%q: %q", given, clean)
		}
	})
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"abc", 0, "abc"}, {"abc", -1, "abc"}, {"abc", 1, "…"}, {"", 5, ""},
		{"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"}, {"e\u0301e\u0301e\u0301", 2, "e\u0301…"}, {"👩‍👧👩‍👧", 3, "👩‍👧…"},
	} {
		if got := Cut(test.text, test.width); got != test.want {
			t.Errorf("%q at %d: %q, want %q", test.text, test.width, got, test.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text, width := Clean(rapid.String().Draw(t, "text")), rapid.IntRange(1, 30).Draw(t, "width")
		if got := Cut(text, width); uniseg.StringWidth(got) > width || !utf8.ValidString(got) {
			t.Fatalf("%q at %d: %q is %d wide", text, width, got, uniseg.StringWidth(got))
		}
	})
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0ms", 999 * time.Millisecond: "999ms", 1900 * time.Microsecond: "1ms", time.Second: "1.0s", 9990 * time.Millisecond: "9.9s", 10 * time.Second: "10s",
		59 * time.Second: "59s", 92 * time.Second: "1m32s", 2*time.Hour + 5*time.Minute: "2h5m", 76 * time.Hour: "3d4h", -90 * time.Second: "-1m30s",
	} {
		if got := Span(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

// terminal is a screen whose streams are terminals of so many columns.
func terminal(columns int) (s *Screen, out, err *bytes.Buffer) {
	out, err = &bytes.Buffer{}, &bytes.Buffer{}
	width := func() int { return columns }
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	return &Screen{Out: out, Err: err, OutColumns: width, ErrColumns: width, Color: true, Clock: func() time.Time { return now }}, out, err
}

func TestTime(t *testing.T) {
	t.Parallel()
	s, _, _ := terminal(80)
	at := func(d time.Duration) *time.Time { t := s.Clock().Add(d).In(time.FixedZone("", 3600)); return &t }
	for d, want := range map[time.Duration]string{-3 * time.Minute: "3m0s ago", 5 * time.Second: "in 5.0s", 0: "0ms ago"} {
		if got := s.Time(at(d)); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	s.OutColumns = nil
	if got := s.Time(at(0)); got != "2026-11-21T12:00:00Z" {
		t.Errorf("no terminal: %q", got)
	}
	if got := s.Time(nil); got != "-" {
		t.Errorf("nil: %q", got)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	show := func(columns int) string {
		s, out, _ := terminal(columns)
		if columns == 0 {
			s.OutColumns = nil
		}
		table := s.Table("ID", "STATE", "MESSAGE")
		table.Row("1", "running", "first\nsecond \x1b[31m日本語日本語日本語")
		table.Row("22", "", "")
		if err := table.Flush(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got, want := show(0), "ID  STATE    MESSAGE\n1   running  first\\nsecond \\x1b[31m日本語日本語日本語\n22  -        -\n"; got != want {
		t.Errorf("no terminal: %q, want %q", got, want)
	}
	if got, want := show(40), "ID  STATE    MESSAGE\n1   running  first\\nsecond \\x1b[31m日本…\n22  -        -\n"; got != want {
		t.Errorf("40 columns: %q, want %q", got, want)
	}
}

// One long name takes no room from the others.
func TestTableCutsCells(t *testing.T) {
	t.Parallel()
	s, out, _ := terminal(60)
	table := s.Table("QUEUE", "STATE")
	table.Row(strings.Repeat("q", 128), "ready")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := "QUEUE" + strings.Repeat(" ", 33) + "STATE\n" + strings.Repeat("q", 35) + "…  ready\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestBar(t *testing.T) {
	t.Parallel()
	half := Progress{Label: "report", State: "running", Current: 420, Total: 1000, Message: "Page 42\nof 100", Left: 91 * time.Second}
	for _, test := range []struct {
		name    string
		p       Progress
		columns int
		want    string
	}{
		{"room for all", half, 100, `report   42% [============>                 ]  420/1000  eta 1m31s  Page 42\nof 100`},
		{"less room", half, 60, `report   42% [=====>       ]  420/1000  eta 1m31s  Page 42\…`},
		{"no room for a drawing", half, 40, `report   42%  420/1000  eta 1m31s  Page…`},
		{"hardly any", half, 10, `report   …`},
		{"unknown total", Progress{Label: "k", State: "running", Current: 7, Message: "m"}, 80, "k  running  7  m"},
		{"nothing reported", Progress{Label: "k", State: "ready"}, 80, "k  ready"},
		{"done", Progress{Label: "k", State: "completed", Current: 4, Total: 4, Left: time.Second}, 60, "k  100% [==============================]  4/4"},
		{"beyond its total", Progress{Label: "k", State: "running", Current: 9, Total: 4}, 30, "k  100% [===============]  9/4"},
		{"below zero", Progress{Label: "k", State: "running", Current: -9, Total: 4}, 60, "k    0% [>                             ]  -9/4"},
	} {
		if got := test.p.Bar(test.columns); got != test.want || uniseg.StringWidth(got) > test.columns {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, test.want)
		}
	}
	if got, want := half.Line(), `report  running  42%  420/1000  Page 42\nof 100`; got != want {
		t.Errorf("line: %q, want %q", got, want)
	}
}

func TestDrawReplacesWhatWasDrawn(t *testing.T) {
	t.Parallel()
	s, out, err := terminal(20)
	s.Draw(Progress{Label: "a long label for so few columns", State: "ready"})
	s.Draw(Progress{Label: "b", State: "ready"})
	s.Wipe()
	if got, want := err.String(), "\ra long label for s…\x1b[K\rb  ready\x1b[K\r\x1b[K"; got != want || out.Len() > 0 {
		t.Errorf("%q, want %q; on Out %q", got, want, out)
	}
}

func TestNothingUncleanIsPrinted(t *testing.T) {
	t.Parallel()
	s, out, err := terminal(80)
	evil := "\x1b[2Jevil\u009b"
	for _, print := range []error{s.Printf("%s %d", evil, 1), s.Fields([2]string{"name", evil}, [2]string{"none", ""}), s.PrintJSON(map[string]string{evil: evil})} {
		if print != nil {
			t.Fatal(print)
		}
	}
	s.Hintf("%v", bytes.ErrTooLarge)
	s.Hintf("%s", evil)
	s.Fail(evil, evil, evil)
	painted := "\x1b[31merror:\x1b[0m"
	if !strings.Contains(err.String(), painted) {
		t.Errorf("no colour: %q", err)
	}
	if all := strings.ReplaceAll(out.String()+err.String(), painted, ""); strings.ContainsAny(all, "\x1b\u009b") {
		t.Errorf("%q", all)
	}
}

func TestColorOnTerminalsOnly(t *testing.T) {
	t.Parallel()
	s, _, _ := terminal(80)
	if got := s.Painted(Red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("terminal: %q", got)
	}
	s.Color = false
	if got := s.Painted(Red, "x"); got != "x" {
		t.Errorf("NO_COLOR: %q", got)
	}
	s.Color, s.OutColumns = true, nil
	if got := s.Painted(Red, "x"); got != "x" {
		t.Errorf("no terminal: %q", got)
	}
}

// Escaping changes no value.
func TestSafeJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		given := map[string]string{rapid.String().Draw(t, "key"): rapid.String().Draw(t, "value")}
		raw, err := json.Marshal(given)
		if err != nil {
			t.Fatal(err)
		}
		safe := SafeJSON(raw)
		var before, after any
		if json.Unmarshal(raw, &before) != nil || json.Unmarshal(safe, &after) != nil {
			t.Fatalf("%s became %s", raw, safe)
		}
		a, _ := json.Marshal(before) // they were read from JSON
		b, _ := json.Marshal(after)
		if !bytes.Equal(a, b) || strings.ContainsFunc(string(safe), unsafeRune) && !strings.ContainsRune(string(safe), '\ufffd') {
			t.Fatalf("%s became %s", raw, safe)
		}
	})
}
