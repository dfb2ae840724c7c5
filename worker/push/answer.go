package push

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// shownText is how much of an answer stands in a task's error, in bytes.
const shownText = 500

// answer is what an endpoint answered.
type answer struct {
	status int
	header http.Header
	body   []byte // cut at mostBody+1
}

// accepted reports whether the endpoint will end the task later, by its lease.
func (a *answer) accepted() bool { return a.status == http.StatusAccepted }

// outcome is how the attempt ends: with a result, or an error as of a handler. Not of what is accepted.
func (a *answer) outcome() (json.RawMessage, error) {
	if a.status >= 200 && a.status < 300 {
		return a.result()
	}
	err := worker.WithCode("http_"+strconv.Itoa(a.status), errors.New(a.text()))
	wait, given := a.retryAfter()
	switch {
	case given && (a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable):
		return nil, fmt.Errorf("%s: %w", a.text(), worker.Snooze(max(wait, time.Second)))
	case a.status == http.StatusGone || a.never():
		return nil, worker.Permanent(err)
	}
	return nil, err
}

// sound reports whether the endpoint itself is well, whatever it makes of the task: for the breaker. What has it wrong for all
// tasks, as an unknown path or credentials, is not well.
func (a *answer) sound() bool {
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired:
		return a.never() // it speaks of the task
	case http.StatusServiceUnavailable:
		_, given := a.retryAfter()
		return given
	}
	return a.status >= 200 && a.status < 300 || a.status >= 400 && a.status < 500
}

// result is the body when it is JSON; else there is none.
func (a *answer) result() (json.RawMessage, error) {
	if !a.isJSON() || len(strings.TrimSpace(string(a.body))) == 0 {
		return nil, nil
	}
	if err := scheduler.CheckJSON(a.body); err != nil {
		return nil, worker.Permanent(worker.WithCode("bad_result", fmt.Errorf("the answer %s cannot be stored as a result: %w", a.words(), err)))
	}
	return a.body, nil
}

func (a *answer) isJSON() bool {
	kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// never reports whether the answer says that trying again is of no use: {"retryable": false}.
func (a *answer) never() bool {
	var problem struct {
		Retryable *bool `json:"retryable"`
	}
	return a.status >= 400 && a.isJSON() && json.Unmarshal(a.body, &problem) == nil && problem.Retryable != nil && !*problem.Retryable
}

// retryAfter reads the header of that name: seconds, or a date.
func (a *answer) retryAfter() (wait time.Duration, given bool) {
	text := strings.TrimSpace(a.header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	now := time.Now()
	if sent, err := http.ParseTime(a.header.Get("Date")); err == nil { // by the clock of who said it
		now = sent
	}
	return max(0, at.Sub(now)), true
}

func (a *answer) words() string {
	return strings.TrimSpace(strconv.Itoa(a.status) + " " + http.StatusText(a.status))
}

// text is the status and the beginning of the body, on one line.
func (a *answer) text() string {
	body := strings.ToValidUTF8(string(a.body[:min(len(a.body), 4*shownText)]), "\uFFFD")
	body = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) { // Cf: turns text around
			return ' '
		}
		return r
	}, body)
	if body = strings.Join(strings.Fields(body), " "); body == "" {
		return a.words()
	}
	return scheduler.CleanText(a.words()+": "+body, shownText)
}
