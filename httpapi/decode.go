package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// decoder reads JSON objects into T by the rules of T's OpenAPI schema, so that what is documented is what is enforced. It
// is stricter than encoding/json: names are exact, none comes twice, none is unknown. null means the default, except for
// a payload, where it is a value.
type decoder[T any] struct {
	registry huma.Registry
	schema   *huma.Schema
	fields   map[string]int // name in JSON → index in T
}

func newDecoder[T any](registry huma.Registry) decoder[T] {
	t := reflect.TypeFor[T]()
	d := decoder[T]{registry: registry, schema: registry.Schema(t, false, ""), fields: map[string]int{}}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		d.fields[name] = i
	}
	return d
}

// one reads a body that is one object; an empty body is an empty object.
func (d decoder[T]) one(raw []byte) (value T, err error) {
	if len(raw) == 0 {
		return value, nil
	}
	value, faults, err := d.object(raw, "")
	if err == nil && len(faults) > 0 {
		err = invalid(faults...)
	}
	return value, err
}

// object reads what stands at a pointer.
func (d decoder[T]) object(raw []byte, at string) (value T, faults []Detail, err error) {
	sound := scheduler.CheckSyntax(raw) == nil // and so is each member; else it is to be found out which is not
	if !sound {
		if err := checkJSON(raw, at); err != nil {
			return value, nil, err
		}
	}
	list, ok := members(raw)
	if !ok {
		return value, []Detail{{Pointer: at, Detail: "expected an object"}}, nil
	}
	into := reflect.ValueOf(&value).Elem()
	seen, given := make([]bool, len(d.fields)), make([]bool, len(d.fields)) // by the field's index
	for _, m := range list {
		pointer := at + "/" + escapePointer(m.name)
		if !sound {
			if err := scheduler.CheckSyntax(m.value); err != nil {
				return value, nil, newProblem(CodeMalformedJSON, pointer+": "+err.Error(), Detail{Pointer: pointer, Detail: err.Error()})
			}
		}
		i, known := d.fields[m.name]
		switch {
		case !known:
			faults = append(faults, Detail{Pointer: pointer, Detail: "unknown; known are " + strings.Join(d.names(), ", ")})
		case seen[i]:
			faults = append(faults, Detail{Pointer: pointer, Detail: "given twice"})
		default:
			faults = append(faults, d.field(into.Field(i), m, pointer)...)
		}
		if known {
			seen[i], given[i] = true, string(m.value) != "null"
		}
		if len(faults) >= maxDetails {
			return value, faults, nil
		}
	}
	for _, name := range d.schema.Required {
		if !given[d.fields[name]] {
			faults = append(faults, Detail{Pointer: at + "/" + name, Detail: "needed"})
		}
	}
	return value, faults, nil
}

// field checks a value against its schema and stores it.
func (d decoder[T]) field(into reflect.Value, m member, pointer string) []Detail {
	if raw, ok := into.Addr().Interface().(*json.RawMessage); ok {
		*raw = m.value
		return nil
	}
	if string(m.value) == "null" {
		return nil
	}
	plain, err := plainValue(m.value)
	if err != nil { // it is valid: only a number can be too large
		return []Detail{{Pointer: pointer, Detail: "a number out of range"}}
	}
	var result huma.ValidateResult
	path := huma.NewPathBuffer(nil, 0)
	huma.Validate(d.registry, d.schema.Properties[m.name], path, huma.ModeWriteToServer, plain, &result)
	var faults []Detail
	for _, err := range result.Errors {
		where, rule := pointer, err.Error()
		var detail *huma.ErrorDetail
		if errors.As(err, &detail) {
			where, rule = pointer+locationPointer(detail.Location), detail.Message
		}
		faults = append(faults, Detail{Pointer: where, Detail: wholeNumbers(rule)})
	}
	if len(faults) > 0 {
		return faults
	}
	if !storeText(into, plain) && json.Unmarshal(m.value, into.Addr().Interface()) != nil { // 1.0 for an integer, for one
		schema := d.schema.Properties[m.name]
		rule := "expected " + schema.Type
		if schema.Items != nil {
			rule += " of " + schema.Items.Type + "s"
		}
		faults = append(faults, Detail{Pointer: pointer, Detail: rule})
	}
	return faults
}

// plainValue is json.Unmarshal, and much faster for most strings.
func plainValue(raw []byte) (value any, err error) {
	if raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	err = json.Unmarshal(raw, &value)
	return value, err
}

// storeText stores a string where one belongs. A time is none.
func storeText(into reflect.Value, value any) bool {
	text, ok := value.(string)
	if !ok {
		return false
	}
	switch into := into.Addr().Interface().(type) {
	case *string:
		*into = text
	case **string:
		*into = &text
	default:
		return false
	}
	return true
}

var exponent = regexp.MustCompile(`\d(\.\d+)?e\+\d+`)

// wholeNumbers writes the bounds that huma says as 3.15576e+10 without an exponent.
func wholeNumbers(rule string) string {
	return exponent.ReplaceAllStringFunc(rule, func(number string) string {
		f, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return number
		}
		return strconv.FormatFloat(f, 'f', -1, 64)
	})
}

func (d decoder[T]) names() []string {
	names := make([]string, len(d.fields))
	for name, i := range d.fields {
		names[i] = name
	}
	return names
}

// checkJSON refuses what is not one JSON value in UTF-8.
func checkJSON(raw []byte, at string) error {
	problem := func(detail string) error {
		return newProblem(CodeMalformedJSON, strings.TrimPrefix(at+": "+detail, ": "), Detail{Pointer: at, Detail: detail})
	}
	if !utf8.Valid(raw) {
		return problem("not UTF-8")
	}
	if json.Valid(raw) {
		return nil
	}
	if bytes.HasPrefix(raw, []byte("\xef\xbb\xbf")) {
		return problem("a byte order mark stands before the JSON; send it without")
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(raw, new(json.RawMessage)); errors.As(err, &syntax) {
		return problem(fmt.Sprintf("%s (byte %d)", syntax.Error(), syntax.Offset))
	}
	return problem("not a JSON value")
}

// locationPointer turns a location of huma's, [3].name, into a pointer.
func locationPointer(location string) string {
	var b strings.Builder
	for part := range strings.FieldsFuncSeq(location, func(r rune) bool { return strings.ContainsRune(".[]", r) }) {
		b.WriteString("/" + escapePointer(part))
	}
	return b.String()
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// escapePointer writes a name as one step of a pointer (RFC 6901), short enough to be shown.
func escapePointer(name string) string {
	return scheduler.Truncate(pointerEscapes.Replace(name), 100)
}
