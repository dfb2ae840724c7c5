package scheduler_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/pgscheduler/scheduler/scheduler"
)

// matchesSimply is what a pattern means, by words.
func matchesSimply(pattern, topic []string) bool {
	switch {
	case len(pattern) == 0:
		return len(topic) == 0
	case pattern[0] == "#":
		return matchesSimply(pattern[1:], topic) || len(topic) > 0 && matchesSimply(pattern, topic[1:])
	default:
		return len(topic) > 0 && (pattern[0] == "*" || pattern[0] == topic[0]) && matchesSimply(pattern[1:], topic[1:])
	}
}

func TestPatternsMatchAsInAMQP(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range []struct {
		pattern string
		yes, no string
	}{
		{"order.created", "order.created", "order order.create order.created.eu created.order ORDER.created"},
		{"order.*", "order.created order.x", "order order.created.eu x.order"},
		{"order.#", "order order.created order.created.eu", "orders orders.created x.order"},
		{"*", "order x", "order.created"},
		{"#", "order order.created a.b.c.d.e.f", ""},
		{"*.*", "a.b", "a a.b.c"},
		{"#.#", "a a.b a.b.c", ""},
		{"*.#", "a a.b a.b.c", ""},
		{"#.*", "a a.b a.b.c", ""},
		{"#.*.#.*", "a.b a.b.c", "a"},
		{"*.created", "order.created user.created", "created order.created.eu order.user.created"},
		{"#.created", "created order.created a.b.created", "created.a order.created.eu"},
		{"order.#.eu", "order.eu order.created.eu order.a.b.eu", "order eu order.eu.x x.order.eu"},
		{"order.*.eu", "order.created.eu", "order.eu order.a.b.eu"},
		{"#.a.#", "a a.b b.a b.a.b a.a.a", "b b.c aa"},
		{"#.a.#.a.#", "a.a b.a.b.a.b a.b.a", "a b.a a.b aa.a"},
		{"a.#.#.*.b", "a.x.b a.x.y.b a.b.b", "a.b a b a.x.b.c"},
		{"*.*.c.#", "a.b.c a.b.c.d", "a.c b.c.d c"},
		{"a-b.c_d:e", "a-b.c_d:e", "a.c_d:e a-b"},
		{"a", "a", "a-b a:b a_b ab"},
	} {
		r.exec(`delete from scheduler.subscriptions`)
		r.exec(`insert into scheduler.subscriptions (name, pattern, kind) values ('x', $1, 'k')`, c.pattern)
		for want, topics := range map[bool]string{true: c.yes, false: c.no} {
			for _, topic := range strings.Fields(topics) {
				if got := scheduler.TopicMatches(c.pattern, topic); got != want {
					t.Errorf("%s matches %s: %v", c.pattern, topic, got)
				}
				if got := read[int](r, `select count(*) from scheduler.subscriptions_for($1)`, topic) == 1; got != want {
					t.Errorf("in the database %s matches %s: %v", c.pattern, topic, got)
				}
				if got := matchesSimply(strings.Split(c.pattern, "."), strings.Split(topic, ".")); got != want {
					t.Errorf("simply %s matches %s: %v", c.pattern, topic, got)
				}
			}
		}
	}
}

// words of few letters, so that much matches.
func drawWords(t *rapid.T, label string, some []string) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(some), 1, 6).Draw(t, label), ".")
}

func TestDatabaseAndProcessMatchAlike(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rapid.Check(t, func(rt *rapid.T) {
		patterns := map[string]string{}
		names, texts := []string{}, []string{}
		for i := range rapid.IntRange(1, 12).Draw(rt, "patterns") {
			name := fmt.Sprint("s", i)
			patterns[name] = drawWords(rt, name, []string{"a", "b", "a-b", "*", "#", "#"})
			names, texts = append(names, name), append(texts, patterns[name])
		}
		r.exec(`delete from scheduler.subscriptions`)
		r.exec(`insert into scheduler.subscriptions (name, pattern, kind) select n, p, 'k' from unnest($1::text[], $2::text[]) u(n, p)`, names, texts)
		for range 5 {
			topic := drawWords(rt, "topic", []string{"a", "b", "a-b", "c"})
			var want []string
			for name, pattern := range patterns {
				matches := matchesSimply(strings.Split(pattern, "."), strings.Split(topic, "."))
				if matches {
					want = append(want, name)
				}
				if scheduler.TopicMatches(pattern, topic) != matches {
					rt.Fatalf("%s matches %s: %v", pattern, topic, !matches)
				}
			}
			slices.Sort(want)
			if got := column[string](r, `select name from scheduler.subscriptions_for($1)`, topic); !slices.Equal(got, want) {
				rt.Fatalf("%s matches %v of %v, want %v", topic, got, patterns, want)
			}
		}
	})
}

func TestValidTopics(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for text, want := range map[string]struct{ topic, pattern bool }{
		"a": {true, true}, "a.b": {true, true}, "A-1_x:y.z": {true, true}, strings.Repeat("a", 255): {true, true}, strings.Repeat("a", 256): {},
		"*": {false, true}, "#": {false, true}, "a.*.#": {false, true}, "a*": {}, "#a.b": {}, "**": {}, "": {}, ".": {}, ".a": {}, "a.": {}, "a..b": {},
		"a b": {}, "ä": {}, "a/b": {}, "a\n": {}, "a.\n": {}, "*\n": {}, "a%": {}, "a\x00": {}, "\xff": {},
	} {
		if got := scheduler.ValidTopic(text); got != want.topic {
			t.Errorf("topic %q is valid: %v", text, got)
		}
		if got := scheduler.ValidPattern(text); got != want.pattern {
			t.Errorf("pattern %q is valid: %v", text, got)
		}
		if strings.Contains(text, "\x00") || !utf8.ValidString(text) {
			continue // which PostgreSQL does not take at all
		}
		_, err := r.db.Exec(r.ctx, `select scheduler.publish($1)`, text)
		if (err == nil) != want.topic {
			t.Errorf("publish(%q): %v", text, err)
		}
		_, err = r.db.Exec(r.ctx, `insert into scheduler.subscriptions (name, pattern, kind) values (gen_random_uuid()::text, $1, 'k')`, text)
		if (err == nil) != want.pattern {
			t.Errorf("subscription to %q: %v", text, err)
		}
	}
}

// manyPatterns are 10,000 of mixed shapes: a quarter each of literal ones, of ones with a wildcard at the end, in the middle, and at
// the beginning.
func manyPatterns() (list []string) {
	for i := range 2500 {
		list = append(list, fmt.Sprintf("shop%d.order%d.created", i%50, i), fmt.Sprintf("shop%d.order%d.#", i%50, i),
			fmt.Sprintf("shop%d.*.event%d", i%50, i), fmt.Sprintf([]string{"#.event%d", "*.order%d.*", "*.*.event%d", "#.order%d.#"}[i%4], i))
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// What a publish reads of 10,000 subscriptions is a few pages for each that could match, never all of them, in a session that has not
// pinned its plans and on a table that was analyzed or was not.
func TestMatchingReadsFewPagesOfManySubscriptions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`insert into scheduler.subscriptions (name, pattern, kind) select 's' || n, p, 'k' from unnest($1::text[]) with ordinality u(p, n)`, manyPatterns())
	all := read[int](r, `select (pg_relation_size('scheduler.subscriptions') / 8192)::int`)
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			r.exec(`vacuum analyze scheduler.subscriptions`)
		}
		for topic, want := range map[string]int{"shop7.order7.created": 3, "shop7.order57.event7": 3, "elsewhere.order3.x": 1, "a.b.c.d.e.f.g.h": 0, "shop7": 0, "x.y.event2": 1} {
			read[int](r, `select count(*) from scheduler.subscriptions_for($1)`, topic) // plans, for the first time
			var plans []struct {
				Plan struct {
					Rows  int `json:"Actual Rows"`
					Hit   int `json:"Shared Hit Blocks"`
					Reads int `json:"Shared Read Blocks"`
				}
				Time float64 `json:"Execution Time"`
			}
			must(t, json.Unmarshal(read[[]byte](r, `explain (analyze, buffers, format json) select * from scheduler.subscriptions_for('`+topic+`')`), &plans))
			plan := plans[0].Plan
			t.Logf("analyzed %v, %s: %d rows, %d pages of %d and an index, %.2f ms", analyzed, topic, plan.Rows, plan.Hit+plan.Reads, all, plans[0].Time)
			if plan.Rows != want || plan.Hit+plan.Reads > 200 {
				t.Errorf("%s: %d rows, want %d; %d pages", topic, plan.Rows, want, plan.Hit+plan.Reads)
			}
		}
	}
}
