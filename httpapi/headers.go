package httpapi

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const maxKey = 255 // bytes of an idempotency key

// parseIdempotencyKey reads the header's value: bare, or quoted as a string of RFC 9651. Anything goes that has no control
// characters and is 1 to 255 bytes long.
func parseIdempotencyKey(value string) (string, error) {
	key := strings.TrimSpace(value)
	if strings.HasPrefix(key, `"`) {
		var err error
		if key, err = unquote(key); err != nil {
			return "", err
		}
	}
	switch {
	case key == "" || len(key) > maxKey:
		return "", fmt.Errorf("1 to %d bytes", maxKey)
	case !utf8.ValidString(key) || strings.ContainsFunc(key, unicode.IsControl):
		return "", fmt.Errorf("UTF-8 without control characters")
	}
	return key, nil
}

// unquote reads a quoted string of RFC 9651, section 4.2.5, that begins with its quote.
func unquote(quoted string) (string, error) {
	var b strings.Builder
	for i := 1; i < len(quoted); i++ {
		switch c := quoted[i]; {
		case c == '"':
			if i != len(quoted)-1 {
				return "", fmt.Errorf("nothing may follow the closing quote")
			}
			return b.String(), nil
		case c == '\\':
			if i++; i == len(quoted) || quoted[i] != '"' && quoted[i] != '\\' {
				return "", fmt.Errorf(`a backslash must be followed by " or \`)
			}
			b.WriteByte(quoted[i])
		case c < ' ' || c > '~':
			return "", fmt.Errorf("a quoted key must be printable ASCII")
		default:
			b.WriteByte(c)
		}
	}
	return "", fmt.Errorf("the closing quote is missing")
}

const maxWait = 60 // seconds of Prefer: wait

// parseWait returns the seconds of wait=N in a Prefer header (RFC 7240), at most maxWait; 0: not asked for, or not a number,
// for a preference is never an error.
func parseWait(prefer string) int {
	for preference := range strings.SplitSeq(prefer, ",") {
		preference, _, _ = strings.Cut(preference, ";")
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(value), `"`))
		if err != nil || n < 1 {
			return 0
		}
		return min(n, maxWait)
	}
	return 0
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// etag is the entity tag of a revision.
func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// tags are those of an If-None-Match header, weak ones as if they were strong.
func tags(ifNoneMatch string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for tag := range strings.SplitSeq(ifNoneMatch, ",") {
			if !yield(strings.TrimPrefix(strings.TrimSpace(tag), "W/")) {
				return
			}
		}
	}
}

// newest is the highest revision of the tags of an If-None-Match header; 0: none is one.
func newest(ifNoneMatch string) (revision int64) {
	for tag := range tags(ifNoneMatch) {
		if n, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64); err == nil {
			revision = max(revision, n)
		}
	}
	return revision
}

// matches reports whether an If-None-Match header holds the tag, compared weakly (RFC 9110, section 13.1.2).
func matches(ifNoneMatch, tag string) bool {
	for candidate := range tags(ifNoneMatch) {
		if candidate == "*" || candidate == tag {
			return true
		}
	}
	return false
}
