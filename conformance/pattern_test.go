//go:build unix

package conformance

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"testing"
)

// match returns why a value is not what a pattern asks for; nil: it is.
//
// A pattern is JSON. An object matches one that has its members and perhaps others; a list one of the same length; all
// else what is equal. An object with one of these members stands for something else: {"$match": "regular expression"},
// {"$type": "string"}, {"$not": pattern}, {"$has": [patterns, each of which some element matches]}.
func match(pattern, value any) error {
	switch p := pattern.(type) {
	case map[string]any:
		if special, is, err := matchSpecial(p, value); is {
			return err
		} else if special {
			return fmt.Errorf("unknown pattern %v", p)
		}
		object, ok := value.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is no object", show(value))
		}
		for name, want := range p {
			have, ok := object[name]
			if !ok && want != nil {
				return fmt.Errorf("/%s: there is none", name)
			}
			if err := match(want, have); err != nil {
				return fmt.Errorf("/%s%w", name, err)
			}
		}
		return nil
	case []any:
		list, ok := value.([]any)
		if !ok || len(list) != len(p) {
			return fmt.Errorf(": %s, want a list of %d", show(value), len(p))
		}
		for i := range p {
			if err := match(p[i], list[i]); err != nil {
				return fmt.Errorf("/%d%w", i, err)
			}
		}
		return nil
	}
	if !reflect.DeepEqual(pattern, value) {
		return fmt.Errorf(": %s, want %s", show(value), show(pattern))
	}
	return nil
}

// matchSpecial judges the patterns that begin with $.
func matchSpecial(p map[string]any, value any) (special, known bool, err error) {
	for name, argument := range p {
		if name[:min(len(name), 1)] != "$" {
			continue
		}
		switch name {
		case "$match":
			text, ok := value.(string)
			if !ok || !regexp.MustCompile(argument.(string)).MatchString(text) {
				err = fmt.Errorf(": %s does not match %s", show(value), argument)
			}
		case "$type":
			if kind := kindOf(value); kind != argument {
				err = fmt.Errorf(": %s is no %s", show(value), argument)
			}
		case "$not":
			if match(argument, value) == nil {
				err = fmt.Errorf(": %s is what it must not be", show(value))
			}
		case "$has":
			err = matchHas(argument.([]any), value)
		default:
			return true, false, nil
		}
		return true, true, err
	}
	return false, false, nil
}

func matchHas(patterns []any, value any) error {
	list, _ := value.([]any)
	for _, want := range patterns {
		found := false
		for _, have := range list {
			found = found || match(want, have) == nil
		}
		if !found {
			return fmt.Errorf(": %s has no %s", show(value), show(want))
		}
	}
	return nil
}

func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "boolean"
	case []any:
		return "array"
	}
	return "object"
}

func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return short(string(text))
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, value string
		fits           bool
	}{
		{`1`, `1`, true}, {`1`, `2`, false}, {`"a"`, `"a"`, true}, {`null`, `null`, true}, {`null`, `0`, false}, {`true`, `"true"`, false},
		{`{}`, `{"a": 1}`, true}, {`{"a": 1}`, `{"a": 1, "b": 2}`, true}, {`{"a": 1}`, `{"b": 1}`, false}, {`{"a": null}`, `{}`, true},
		{`{"a": {"b": 1}}`, `{"a": {"b": 2}}`, false}, {`{}`, `[]`, false}, {`[]`, `{}`, false}, {`[]`, `[]`, true}, {`[1]`, `[1, 2]`, false},
		{`[1, {}]`, `[1, {"a": 1}]`, true}, {`[1, 2]`, `[2, 1]`, false},
		{`{"$match": "^a.c$"}`, `"abc"`, true}, {`{"$match": "^a.c$"}`, `"abcd"`, false}, {`{"$match": "1"}`, `1`, false},
		{`{"$type": "string"}`, `""`, true}, {`{"$type": "string"}`, `1`, false}, {`{"$type": "null"}`, `null`, true},
		{`{"$type": "array"}`, `[1]`, true}, {`{"$type": "object"}`, `[1]`, false}, {`{"$type": "boolean"}`, `false`, true},
		{`{"$not": null}`, `1`, true}, {`{"$not": null}`, `null`, false}, {`{"a": {"$not": null}}`, `{}`, false},
		{`{"$has": [1, {"a": 1}]}`, `[3, {"a": 1, "b": 2}, 1]`, true}, {`{"$has": [1]}`, `[2]`, false}, {`{"$has": [1]}`, `1`, false},
		{`{"$unknown": 1}`, `1`, false},
	} {
		if err := match(parse(t, test.pattern), parse(t, test.value)); (err == nil) != test.fits {
			t.Errorf("%s on %s: %v", test.pattern, test.value, err)
		}
	}
}

func parse(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return value
}
