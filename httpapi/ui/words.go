package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// words are what templates call.
var words = template.FuncMap{
	"ago": ago, "lasted": lasted, "stamp": stamp, "iso": iso, "pretty": pretty, "text": text, "number": number,
	"clock":  func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"moment": func(t, now time.Time) moment { return moment{t, now} },
	"short":  func(id fmt.Stringer) string { s := id.String(); return s[len(s)-12:] },
	"ms":     func(ms int64) string { return lasted(time.Duration(ms) * time.Millisecond) },
	"done":   func(s scheduler.State) bool { return s.Done() },
	"plural": func(n int, one string) string {
		if n == 1 {
			return "1 " + one
		}
		return number(int64(n)) + " " + one + "s"
	},
	"bulks": func(path string, rows []bulkRow) map[string]any { return map[string]any{"Path": path, "Bulks": rows} },
	"matching": func(path, filter, label string, verbs []string) map[string]any {
		return map[string]any{"Path": path, "Filter": filter, "Label": label, "Verbs": verbs}
	},
	"address": address,
	"millis":  func(t time.Time) int64 { return t.UnixMilli() },
	"verbs":   func(verbs ...string) []string { return verbs },
	"bytes":   func(n *int64) string { return size(*n) },
	"int64":   func(n int) int64 { return int64(n) },
	"cut":     scheduler.Truncate,
}

// ago is a time as seen from now: 3 min ago, in 2 h.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case d <= -time.Second:
		return "in " + whole(-d)
	case d < time.Second:
		return "now"
	}
	return whole(d) + " ago"
}

// whole is a duration that changes while one looks: without tenths of seconds.
func whole(d time.Duration) string {
	if d < 10*time.Second {
		return strconv.Itoa(int(d.Seconds())) + " s"
	}
	return lasted(d)
}

// lasted is a duration in its one or two largest units.
func lasted(d time.Duration) string {
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < 10*time.Minute:
		return two(d, time.Minute, "min", time.Second, "s")
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 24*time.Hour:
		return two(d, time.Hour, "h", time.Minute, "min")
	}
	return two(d, 24*time.Hour, "d", time.Hour, "h")
}

// exactly is a duration that somebody has chosen, which has no tenths unless it was chosen so: 5 s, 1.5 s.
func exactly(d time.Duration) string { return strings.Replace(lasted(d), ".0 s", " s", 1) }

func two(d, large time.Duration, one string, small time.Duration, other string) string {
	text := strconv.Itoa(int(d/large)) + " " + one
	if rest := int(d % large / small); rest > 0 {
		text += " " + strconv.Itoa(rest) + " " + other
	}
	return text
}

// stamp is a time for people, iso one for programs. Both are UTC.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
func iso(t time.Time) string   { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// pretty is JSON with a line for each part.
func pretty(raw json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return string(raw)
	}
	return b.String()
}

// text is what a pointer holds, or "".
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// number is a count with spaces between thousands, which stay together at the end of a line.
func number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteRune('\u202f')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// size spells a number of bytes: 640 KiB, 12.5 MiB.
func size(n int64) string {
	value, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	if value < 100 && unit != "B" {
		return strconv.FormatFloat(value, 'f', 1, 64) + " " + unit
	}
	return strconv.FormatFloat(value, 'f', 0, 64) + " " + unit
}

// percent is how far a task is, 0 to 100 in whole steps; ok: it has said so.
func percent(t scheduler.Task) (n int, ok bool) {
	if t.ProgressCurrent == nil || t.ProgressTotal == nil || *t.ProgressTotal <= 0 {
		return 0, false
	}
	share := 100 * float64(*t.ProgressCurrent) / float64(*t.ProgressTotal)
	return int(math.Floor(min(100, max(0, share)))), true
}
