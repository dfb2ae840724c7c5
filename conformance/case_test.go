//go:build unix

package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testCase is one case of a file. README.md explains the fields.
type testCase struct {
	Name    string   `json:"name"`
	About   string   `json:"about"`
	Doors   []string `json:"doors"`   // of tasks.json: lease, child; none: both
	Workers *int     `json:"workers"` // of tasks.json, at the start; default 1
	TTL     int      `json:"ttl_ms"`  // of tasks.json, of the workers' leases; default 15000, which nobody is silent for
	Steps   []step   `json:"steps"`
}

// step does one thing: exactly one of the fields that name a verb is set.
type step struct {
	Submit  any    `json:"submit"` // tasks.json
	As      string `json:"as"`
	Times   int    `json:"times"`
	Await   string `json:"await"`
	Is      any    `json:"is"`
	Logs    string `json:"logs"`
	Has     []any  `json:"has"`
	History string `json:"history"`
	Are     []any  `json:"are"`
	Lose    string `json:"lose"`
	Drop    string `json:"drop"`
	Start   int    `json:"start"`
	Server  string `json:"server"`

	Request string            `json:"request"` // leases.json, tasks.json
	Headers map[string]string `json:"headers"`
	Body    any               `json:"body"`
	Answer  any               `json:"answer"`
	Until   any               `json:"until"`
	Save    map[string]string `json:"save"`

	Send    any    `json:"send"` // children.json
	Line    string `json:"line"`
	Receive any    `json:"receive"`
	Close   string `json:"close"`
	Stdout  string `json:"stdout"`
	Stderr  string `json:"stderr"`

	Signal string `json:"signal"` // tasks.json, children.json
	Exit   *int   `json:"exit"`
}

// read returns the cases of a file.
func read(t *testing.T, file string) []testCase {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []testCase
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&cases); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var names []string
	for _, c := range cases {
		if c.Name == "" || c.About == "" || slices.Contains(names, c.Name) || len(c.Steps) == 0 {
			t.Errorf("%s: case %q: no name, no steps, nothing about it, or twice", file, c.Name)
		}
		names = append(names, c.Name)
	}
	return cases
}

// String is the step as the file has it, for messages.
func (s step) String() string {
	text, _ := json.Marshal(s)
	var fields map[string]any
	_ = json.Unmarshal(text, &fields)
	for name, value := range fields {
		if value == nil || value == "" || value == float64(0) && name != "exit" {
			delete(fields, name)
		}
	}
	text, _ = json.Marshal(fields)
	return short(string(text))
}

var variable = regexp.MustCompile(`\$\{([a-z0-9_.]+)\}`)

// fill puts variables into all texts of a value, and makes long texts long.
func fill(value any, variables map[string]string) any {
	switch v := value.(type) {
	case string:
		return variable.ReplaceAllStringFunc(v, func(name string) string {
			known, ok := variables[name[2:len(name)-1]]
			if !ok {
				panic(fmt.Sprintf("no variable %s in %v", name, variables))
			}
			return known
		})
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = fill(v[i], variables)
		}
		return list
	case map[string]any:
		if text, ok := v["$text"].(string); ok {
			return strings.Repeat(text, int(v["$times"].(float64)))
		}
		object := make(map[string]any, len(v))
		for name := range v {
			object[name] = fill(v[name], variables)
		}
		return object
	}
	return value
}

// at returns the value at a JSON pointer without escapes, as text.
func at(value any, pointer string) (string, error) {
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(v) {
				return "", fmt.Errorf("nothing at %s", pointer)
			}
			value = v[i]
		}
	}
	text, ok := value.(string)
	if !ok {
		return "", fmt.Errorf("no text at %s", pointer)
	}
	return text, nil
}

// short cuts a text that is too long to read.
func short(text string) string {
	if len(text) > 1500 {
		return text[:1000] + fmt.Sprintf(" … (%d bytes) … ", len(text)) + text[len(text)-300:]
	}
	return text
}
