package screen

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Clean makes s safe to show: one line, without anything that a terminal obeys. Control characters (C0, DEL and C1),
// invisible formatting that reorders text, line separators and bytes that are not UTF-8 appear as escapes: \n, \x1b, \u202e.
func Clean(s string) string {
	if !strings.ContainsFunc(s, unsafeRune) { // U+FFFD counts as unsafe, and bad bytes read as it
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				fmt.Fprintf(&b, `\x%02x`, s[i])
			} else {
				b.WriteRune(r)
			}
		case !unsafeRune(r):
			b.WriteRune(r)
		default:
			b.WriteString(escape(r))
		}
	}
	return b.String()
}

func escape(r rune) string {
	switch r {
	case '\n':
		return `\n`
	case '\t':
		return `\t`
	case '\r':
		return `\r`
	}
	if r < 0x80 {
		return fmt.Sprintf(`\x%02x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// unsafeRune reports whether a terminal may obey r, or a reader be deceived by it. Joiners, which emoji and several
// scripts need, are safe.
func unsafeRune(r rune) bool {
	switch {
	case r == utf8.RuneError, unicode.IsControl(r), r == '\u2028', r == '\u2029', r == '\ufeff':
		return true
	case r == '\u061c', r == '\u200e', r == '\u200f', r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
		return true
	}
	return false
}

// Cut shortens s to at most width columns, between two characters as readers see them, and marks the cut. Width 0 or less
// means no limit.
func Cut(s string, width int) string {
	if width <= 0 || uniseg.StringWidth(s) <= width {
		return s
	}
	var b strings.Builder
	used, state := 0, -1
	for rest := s; rest != ""; {
		var cluster string
		var columns int
		cluster, rest, columns, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if used+columns > width-1 {
			break
		}
		b.WriteString(cluster)
		used += columns
	}
	return b.String() + "…"
}
