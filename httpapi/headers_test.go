package httpapi

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pgscheduler/scheduler/scheduler"
)

func TestParseIdempotencyKey(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"k":                            "k",
		" k ":                          "k",
		`"k"`:                          "k",
		`"a b"`:                        "a b",
		"a b":                          "a b",
		`"a\"b\\c"`:                    `a"b\c`,
		`a"b`:                          `a"b`,
		"schlüssel":                    "schlüssel",
		"k;v":                          "k;v",
		strings.Repeat("k", 255):       strings.Repeat("k", 255),
		unknownID:                      unknownID,
		"":                             "",
		"   ":                          "",
		`""`:                           "",
		`"`:                            "",
		`"k`:                           "",
		`"k"x`:                         "",
		`"k";a=1`:                      "",
		`"a\x"`:                        "",
		`"a\`:                          "",
		`"ü"`:                          "",
		"a\tb":                         "",
		"a\x7fb":                       "",
		"\xff":                         "",
		strings.Repeat("k", 256):       "",
		`"` + strings.Repeat("k", 256): "",
	} {
		got, err := parseIdempotencyKey(value)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", value, got, err, want)
		}
	}
}

func FuzzParseIdempotencyKey(f *testing.F) {
	for _, seed := range []string{"k", `"k"`, `"a\"b\\"`, `"`, `"\`, "", "\x00", "ü", `"k";p`, strings.Repeat("k", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		key, err := parseIdempotencyKey(value)
		if err != nil {
			if key != "" {
				t.Errorf("%q: %q beside an error", value, key)
			}
			return
		}
		if key == "" || len(key) > maxKey || !utf8.ValidString(key) || strings.Contains(key, "\x00") {
			t.Errorf("%q: accepted %q", value, key)
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, err := parseIdempotencyKey(quoted); isASCII(key) && (err != nil || again != key) {
			t.Errorf("%q: quoted as %q it is %q, %v", key, quoted, again, err)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func FuzzParseCursor(f *testing.F) {
	id := scheduler.NewTaskID()
	for _, seed := range []string{newCursor(id), newCursor(scheduler.TaskID{}), "", "x", id.String(), newCursor(id) + "A", "====", newCursor(id)[1:]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		before, err := parseCursor(cursor)
		if err != nil || cursor == "" {
			return
		}
		if again := newCursor(before); again != cursor {
			t.Errorf("%q and %q are both the cursor of %s", cursor, again, before)
		}
	})
}

func TestParseWait(t *testing.T) {
	t.Parallel()
	for prefer, want := range map[string]int{
		"wait=10": 10, "WAIT = 10": 10, "respond-async, wait=5": 5, "wait=5; x=1, other": 5, `wait="7"`: 7, "wait=1000": 60, "wait=1, wait=2": 1,
		"": 0, "wait": 0, "wait=": 0, "wait=0": 0, "wait=-1": 0, "wait=1.5": 0, "wait=NaN": 0, "waiting=5": 0, "wait=99999999999999999999": 0, "return=minimal": 0,
	} {
		if got := parseWait(prefer); got != want {
			t.Errorf("%q: %d, want %d", prefer, got, want)
		}
	}
}
