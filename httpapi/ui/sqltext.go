package ui

import (
	"fmt"
	"regexp"
	"strings"
)

// Statement is what a view asked the database, ready to be pasted into psql.
type Statement struct{ Name, Text string }

var placeholder = regexp.MustCompile(`@[a-z_]+`)

// statement fills in the arguments of a file of folder sql, for people; what is sent never is put together so. An argument that
// args does not have stays as it is.
func statement(file string, args map[string]any) Statement {
	var header, body strings.Builder
	for line := range strings.Lines(file) {
		if strings.HasPrefix(line, "--") {
			header.WriteString(line)
			continue
		}
		body.WriteString(line)
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(header.String(), "-- "), ":")
	text := placeholder.ReplaceAllStringFunc(body.String(), func(name string) string {
		value, ok := args[name[1:]]
		if !ok {
			return name
		}
		return literal(value)
	})
	return Statement{Name: name, Text: header.String() + strings.TrimSpace(text) + ";"}
}

// literal spells a value in SQL. "" is null, as it is sent.
func literal(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case int, int64:
		return fmt.Sprint(v)
	case bool:
		return fmt.Sprint(v)
	}
	text := fmt.Sprint(v)
	if text == "" {
		return "null"
	}
	return quoted(text)
}

// quoted is a string literal that means the same whatever standard_conforming_strings says.
func quoted(s string) string {
	s = strings.ReplaceAll(s, "'", "''")
	if strings.Contains(s, `\`) {
		return ` E'` + strings.ReplaceAll(s, `\`, `\\`) + "'"
	}
	return "'" + s + "'"
}
