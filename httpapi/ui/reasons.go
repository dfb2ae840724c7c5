package ui

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	span  = `(?:(\d+) days? ?)?(?:(\d+):(\d\d):(\d\d)(?:\.\d+)?)?` // an interval as PostgreSQL writes it: 3 days 04:05:06.789
	point = `(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d)`   // a time
)

// spans find, by the code of a reason, the interval in its sentence, and points the time. Nothing that a handler said stands where
// they look.
var (
	spans = map[string]*regexp.Regexp{
		"completed":        regexp.MustCompile(`^(It completed )` + span + `( ago\.)$`),
		"cancel_requested": regexp.MustCompile(`^(Cancelling was asked for )` + span + `( ago; .*)$`),
		"worker_stale":     regexp.MustCompile(`(?s)^(.* was last heard of )` + span + `( ago; the task is given back within .*)$`),
		"running":          regexp.MustCompile(`(?s)^(It runs on .* since )` + span + `( \(attempt \d+\)\.)$`),
		"accepted":         regexp.MustCompile(`(?s)^(Endpoint .* accepted attempt \d+ and is to end it within )` + span + `(\.)$`),
		"expired":          regexp.MustCompile(`^(Its expires_at passed )` + span + `( ago; .*)$`),
		"retry_backoff":    regexp.MustCompile(`(?s)^(.* The next attempt is due in )` + span + `(\.)$`),
		"not_due":          regexp.MustCompile(`^(It is due in )` + span + `(, at .*)$`),
	}
	points = map[string]*regexp.Regexp{
		"not_due":      regexp.MustCompile(`^(It is due in .*, at )` + point + `(\.)$`),
		"queue_paused": regexp.MustCompile(`(?s)^(Queue .* is paused since )` + point + `(\.)$`),
	}
)

// spoken is a reason's sentence with its interval and its time in the words of the pages.
func spoken(r scheduler.Reason) string {
	said := r.Reason
	if find := points[r.Code]; find != nil {
		if parts := find.FindStringSubmatch(said); parts != nil {
			if t, err := time.Parse("2006-01-02 15:04:05.999999-07", parts[2]); err == nil {
				said = parts[1] + stamp(t) + parts[3]
			}
		}
	}
	find := spans[r.Code]
	if find == nil {
		return said
	}
	parts := find.FindStringSubmatch(said)
	if parts == nil || parts[2]+parts[3] == "" {
		return said
	}
	var d time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		n, _ := strconv.Atoi(parts[2+i]) // digits, or ""
		d += time.Duration(n) * unit
	}
	if before, ok := strings.CutSuffix(parts[1], "since "); ok {
		parts[1] = before + "for "
	}
	return parts[1] + whole(d) + parts[6]
}
