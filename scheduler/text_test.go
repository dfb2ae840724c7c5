package scheduler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
)

// odd are JSON texts, and texts that look like JSON, on both sides of what can be stored.
var odd = []struct {
	text string
	ok   bool
}{
	{`{}`, true}, {` [ ] `, true}, {`null`, true}, {`0`, true}, {`-0`, true}, {`-0.0e-0`, true}, {`1e400`, true}, {`1E+400`, true}, {`1e-400`, true},
	{`"\""`, true}, {`"\\u0000"`, true}, {`"\ud83d\ude00"`, true}, {`"\uD83D\uDE00\ud83d\ude00"`, true}, {`"` + "\U0001F600\u00e9\u2028" + `"`, true},
	{`"\u0001\b\f\n\r\t\/"`, true}, {`{"a":1,"a":2}`, true}, {`{"":{"":""}}`, true}, {`"\uffff\ufffe"`, true}, {"\"\x7f\"", true},
	{`123456789012345678901234567890.123456789012345678901234567890`, true}, {strings.Repeat("9", 400), true},
	{nested(64), true}, {`"` + strings.Repeat("[", 100) + `"`, true}, {`["\"[[[", "]"]`, true},

	{``, false}, {` `, false}, {`{`, false}, {`nul`, false}, {`nulll`, false}, {`1 2`, false}, {`[1,]`, false}, {`{"a"}`, false}, {`'a'`, false}, {`01`, false},
	{`+1`, false}, {`.5`, false}, {`1.`, false}, {`1e`, false}, {`-`, false}, {`NaN`, false}, {`Infinity`, false}, {`0x10`, false}, {"\"\n\"", false}, {"\"\x00\"", false},
	{`"\u0000"`, false}, {`["a",{"k\u0000":1}]`, false}, {`"\ud83d"`, false}, {`"\ude00"`, false}, {`"\ude00\ud83d"`, false}, {`"\ud83d\ud83d"`, false},
	{`"\ud83dx\ude00"`, false}, {`"\ud83d\\ude00"`, false}, {`"\uD83D"`, false}, {`"\u12"`, false}, {`"\x41"`, false}, {"\"\xff\"", false}, {"\"\xed\xa0\x80\"", false},
	{"\xef\xbb\xbf{}", false}, {`1e401`, false}, {`1e99999`, false}, {`-1e-99999`, false}, {`1e-401`, false}, {`1e99999999999999999999`, false},
	{strings.Repeat("9", 401), false}, {nested(65), false}, {nested(10000), false}, {strings.Repeat("[", 10000), false}, {strings.Repeat(`{"a":`, 10000), false},
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	check := jsonChecker(t)
	for _, c := range odd {
		if ok := scheduler.CheckJSON([]byte(c.text)) == nil; ok != c.ok {
			t.Errorf("%.80q: %v, want accepted %v", c.text, scheduler.CheckJSON([]byte(c.text)), c.ok)
		}
		if problem := check(c.text); problem != "" {
			t.Errorf("%.80q: %s", c.text, problem)
		}
	}
}

func TestCheckJSONBoundsTheSize(t *testing.T) {
	t.Parallel()
	full := `"` + strings.Repeat("x", scheduler.MaxPayload-2) + `"`
	if err := scheduler.CheckJSON([]byte(full)); err != nil {
		t.Errorf("MaxPayload bytes: %v", err)
	}
	if scheduler.CheckJSON([]byte(full+" ")) == nil {
		t.Error("one byte more was accepted")
	}
	if err := scheduler.CheckSyntax([]byte(full + " ")); err != nil {
		t.Errorf("CheckSyntax has no bound: %v", err)
	}
	// jsonb writes numbers out: a few bytes must not become megabytes.
	if bomb := `[` + strings.Repeat("1e400,", 40000) + `0]`; scheduler.CheckJSON([]byte(bomb)) == nil {
		t.Errorf("a payload of %d bytes that PostgreSQL returns as 16 MB was accepted", len(bomb))
	}
}

// jsonChecker returns a function that compares CheckJSON with PostgreSQL's jsonb: what the one accepts, the other must store and
// return as an equal value; what jsonb refuses, CheckJSON must refuse. "": they agree.
func jsonChecker(t testing.TB) func(text string) string {
	ctx := context.WithoutCancel(t.Context()) // a fuzz target may not ask its *testing.F
	conn, err := pgx.Connect(ctx, pgtest.DB(t))
	must(t, err)
	t.Cleanup(func() { conn.Close(ctx) })
	return func(text string) string {
		accepted := scheduler.CheckJSON([]byte(text))
		if strings.Contains(text, "\x00") || !utf8.ValidString(text) { // no text for PostgreSQL, whatever its type
			if accepted == nil {
				return "accepted, and is no text"
			}
			return ""
		}
		var stored string
		err := conn.QueryRow(ctx, `select $1::text::jsonb::text`, text).Scan(&stored)
		switch {
		case err != nil && sqlState(err) == "":
			return err.Error()
		case accepted == nil && err != nil:
			return "accepted, and jsonb refuses it: " + err.Error()
		case accepted == nil && !equalJSON(text, stored):
			return fmt.Sprintf("stored as %.200q, which is another value", stored)
		}
		return ""
	}
}

// equalJSON compares two JSON texts as values, numbers to the last digit.
func equalJSON(a, b string) bool {
	decode := func(s string) (v any, ok bool) {
		d := json.NewDecoder(bytes.NewReader([]byte(s)))
		d.UseNumber()
		return v, d.Decode(&v) == nil
	}
	va, ok := decode(a)
	vb, ok2 := decode(b)
	return ok && ok2 && reflect.DeepEqual(canonical(va), canonical(vb))
}

func canonical(v any) any {
	switch v := v.(type) {
	case json.Number:
		n, _ := new(big.Rat).SetString(v.String())
		return n.RatString()
	case []any:
		for i := range v {
			v[i] = canonical(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = canonical(v[k])
		}
	}
	return v
}

// jsonText draws texts that are JSON, nearly JSON, or pieces of it.
func jsonText() *rapid.Generator[string] {
	scalar := rapid.OneOf(
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?`),
		rapid.StringMatching(`"([a-z]|\\u[0-9a-fA-F]{4}|\\u[dD][89abAB][0-9a-f]{2}|\\u[dD][c-fC-F][0-9a-f]{2}|\\["\\/bfnrt]|\\u0000|é|😀){0,6}"`),
		rapid.SampledFrom([]string{"true", "false", "null", `""`, "{}", "[]", `"\ud83d\ude00"`}),
	)
	value := rapid.Custom(func(t *rapid.T) string {
		text := scalar.Draw(t, "scalar")
		for range rapid.IntRange(0, 5).Draw(t, "levels") {
			switch rapid.IntRange(0, 3).Draw(t, "around") {
			case 0:
				text = "[" + text + "]"
			case 1:
				text = "[" + scalar.Draw(t, "sibling") + ", " + text + "]"
			case 2:
				text = `{"k": ` + text + `}`
			case 3:
				text = `{"a":` + scalar.Draw(t, "sibling") + `,"a" :` + text + `}`
			}
		}
		return text
	})
	damaged := rapid.Custom(func(t *rapid.T) string {
		text := []rune(value.Draw(t, "value"))
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		return string(text[:at]) + rapid.StringOfN(rapid.SampledFrom([]rune("\\\"u0d8[]{},:-.eE\x00\x1f ")), 0, 3, -1).Draw(t, "damage") + string(text[at+1:])
	})
	return rapid.OneOf(value, damaged, rapid.String())
}

func TestCheckJSONAgreesWithPostgreSQL(t *testing.T) {
	t.Parallel()
	check := jsonChecker(t)
	accepted, all := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		for range 50 {
			text := jsonText().Draw(rt, "text")
			if problem := check(text); problem != "" {
				rt.Fatalf("%q: %s", text, problem)
			}
			if all++; scheduler.CheckJSON([]byte(text)) == nil {
				accepted++
			}
		}
	})
	if accepted*10 < all || accepted*10 > all*9 {
		t.Errorf("%d of %d texts were accepted: the generator is one-sided", accepted, all)
	}
}

func FuzzCheckJSON(f *testing.F) {
	for _, c := range odd {
		f.Add(c.text)
	}
	check := jsonChecker(f)
	f.Fuzz(func(t *testing.T, text string) {
		if problem := check(text); problem != "" {
			t.Errorf("%q: %s", text, problem)
		}
	})
}

func TestCleanTextIsStorableAndShort(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.DB(t))
	must(t, err)
	defer conn.Close(t.Context())
	rapid.Check(t, func(rt *rapid.T) {
		raw := string(rapid.SliceOf(rapid.SampledFrom([]byte("ab\x00\xff\xc3\xa9\xf0\x9f\x98\x80\n"))).Draw(rt, "bytes"))
		limit := rapid.IntRange(3, 40).Draw(rt, "limit")
		clean := scheduler.CleanText(raw, limit)
		if len(clean) > limit || !utf8.ValidString(clean) || strings.Contains(clean, "\x00") {
			rt.Fatalf("%q, at most %d: %q", raw, limit, clean)
		}
		var back string
		if err := conn.QueryRow(t.Context(), `select $1::text`, clean).Scan(&back); err != nil || back != clean {
			rt.Fatalf("%q: %q, %v", clean, back, err)
		}
		if again := scheduler.CleanText(clean, limit); again != clean {
			rt.Fatalf("%q becomes %q", clean, again)
		}
	})
	if got := scheduler.CleanText("plain é", 100); got != "plain é" {
		t.Errorf("%q", got)
	}
}
