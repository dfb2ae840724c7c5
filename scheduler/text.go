package scheduler

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what a task may carry.
const (
	MaxPayload = 256 << 10 // bytes of a payload, a result or progress data, as JSON
	MaxDepth   = 64        // levels of arrays and objects
	maxNumber  = 400       // characters of a number, and its largest decimal exponent
	maxText    = 64 << 10  // bytes of an error message or stack
	maxLine    = 8 << 10   // bytes of a log line or progress message
)

// CheckJSON says why raw can't be stored as a payload: not one JSON value, not UTF-8, deeper than MaxDepth, larger than
// MaxPayload, with a NUL (\u0000) or half a surrogate pair, which PostgreSQL's jsonb refuses, or with a number beyond its
// range. A number with an exponent counts as long as it is written out, which is how jsonb returns it. nil: it can.
func CheckJSON(raw []byte) error {
	if len(raw) > MaxPayload {
		return errTooLarge
	}
	growth, err := checkJSON(raw)
	if err == nil && len(raw)+growth > MaxPayload {
		return errTooLarge
	}
	return err
}

var errTooLarge = fmt.Errorf("larger than %d bytes", MaxPayload)

// CheckSyntax is CheckJSON without the bound on size.
func CheckSyntax(raw []byte) error {
	_, err := checkJSON(raw)
	return err
}

// checkJSON returns by how many bytes raw grows when its numbers are written out.
func checkJSON(raw []byte) (growth int, err error) {
	if !utf8.Valid(raw) {
		return 0, fmt.Errorf("not UTF-8")
	}
	if depth := depthOf(raw); depth > MaxDepth {
		return 0, fmt.Errorf("nested deeper than %d levels", MaxDepth)
	}
	if !json.Valid(raw) {
		return 0, fmt.Errorf("not a JSON value")
	}
	return checkTokens(raw)
}

// depthOf counts brackets outside of strings; it needs no valid JSON, so that a bomb is refused before any parser sees it.
func depthOf(raw []byte) int {
	depth, deepest, inString := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']' || c == '}':
			depth--
		}
	}
	return deepest
}

// checkTokens walks valid JSON for the escapes and numbers that jsonb refuses.
func checkTokens(raw []byte) (growth int, err error) {
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			if i, err = checkString(raw, i+1); err != nil {
				return 0, err
			}
		case c == '-' || c >= '0' && c <= '9':
			end := i
			for end < len(raw) && bytes.IndexByte([]byte("+-.0123456789eE"), raw[end]) >= 0 {
				end++
			}
			exponent, fits := numberFits(string(raw[i:end]))
			if !fits {
				return 0, fmt.Errorf("number %s is out of range", Truncate(string(raw[i:end]), 40))
			}
			growth += exponent
			i = end - 1
		}
	}
	return growth, nil
}

// checkString returns the index of the closing quote of the string whose first byte is at i.
func checkString(raw []byte, i int) (int, error) {
	for ; raw[i] != '"'; i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if raw[i] != 'u' {
			continue
		}
		r := hex4(raw[i+1:])
		switch {
		case r == 0:
			return 0, fmt.Errorf(`\u0000 cannot be stored`)
		case r >= 0xD800 && r < 0xDC00 && i+10 < len(raw) && raw[i+5] == '\\' && raw[i+6] == 'u' && hex4(raw[i+7:])&^0x3FF == 0xDC00:
			i += 10
			continue
		case r&^0x7FF == 0xD800:
			return 0, fmt.Errorf(`\u%04x is half a surrogate pair`, r)
		}
		i += 4
	}
	return i, nil
}

func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		r <<= 4
		switch {
		case c <= '9':
			r |= rune(c - '0')
		default:
			r |= rune(c|0x20-'a') + 10
		}
	}
	return r
}

// numberFits returns the size of a number's exponent, and whether jsonb can hold the number.
func numberFits(number string) (exponent int, fits bool) {
	if len(number) > maxNumber {
		return 0, false
	}
	_, digits, found := strings.Cut(strings.ToLower(number), "e")
	if !found {
		return 0, true
	}
	exponent, err := strconv.Atoi(strings.TrimLeft(digits, "+-"))
	return exponent, err == nil && exponent <= maxNumber
}

// storable reports whether PostgreSQL can hold s as a text.
func storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// CleanText makes s storable: invalid UTF-8 and NUL become U+FFFD, and it is cut to limit bytes with a mark. What ends a
// task can then never fail on its content.
func CleanText(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	return Truncate(s, limit)
}

// Truncate cuts s to at most limit bytes, at a rune's end, and marks the cut.
func Truncate(s string, limit int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	cut := max(0, limit-len(mark))
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + mark
}

// encode returns v as JSON: json.RawMessage as it is, nil as fallback, all else by encoding/json.
func encode(v any, fallback string) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return []byte(fallback), nil
	case json.RawMessage:
		if len(v) == 0 {
			return []byte(fallback), nil
		}
		return v, nil
	}
	return json.Marshal(v)
}
