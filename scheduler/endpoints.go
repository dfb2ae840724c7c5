package scheduler

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// Breaker is the state of an endpoint's circuit breaker.
type Breaker string

// The states of a breaker.
const (
	BreakerClosed   Breaker = "closed"    // it delivers
	BreakerOpen     Breaker = "open"      // nothing is delivered until the probe is due
	BreakerHalfOpen Breaker = "half_open" // one delivery is under way that decides
)

// Endpoint is a row of scheduler.endpoints without its secrets: an HTTP endpoint that tasks are pushed to.
type Endpoint struct {
	Name             string     `db:"name"`
	URL              string     `db:"url"`
	Queues           []Queue    `db:"queues"`
	Kinds            []string   `db:"kinds"`
	Concurrency      int        `db:"concurrency"`
	Rate             *float64   `db:"rate"` // deliveries a second; nil: no limit
	TimeoutMS        int64      `db:"timeout_ms"`
	CompleteWithinMS int64      `db:"complete_within_ms"`
	BreakerFailures  int        `db:"breaker_failures"`
	BreakerPauseMS   int64      `db:"breaker_pause_ms"`
	PausedAt         *time.Time `db:"paused_at"`
	State            Breaker    `db:"state"`
	Failures         int        `db:"failures"` // in a row
	OpenedAt         *time.Time `db:"opened_at"`
	ProbeAt          *time.Time `db:"probe_at"`
	LastSuccessAt    *time.Time `db:"last_success_at"`
	LastError        *string    `db:"last_error"`
	LastErrorAt      *time.Time `db:"last_error_at"`
	CreatedAt        time.Time  `db:"created_at"`
	UpdatedAt        time.Time  `db:"updated_at"`
	InFlight         int        `db:"in_flight"` // deliveries, and tasks accepted by 202
	Processes        int        `db:"processes"` // that deliver to it
}

// NewEndpoint is what SetEndpoint stores. Name, URL and Kinds are needed.
type NewEndpoint struct {
	Name string // 1 to 128 letters, digits and _ . : / -
	URL  string // http or https, with neither user nor fragment, up to 2048 bytes

	// Secrets that deliveries are signed with, one signature each, up to 4: whsec_ and the base64 of 24 to 64 bytes. Give the
	// new one and the old one while receivers change over. nil: those that the endpoint has; a new one gets one made for it.
	Secrets []string

	Queues []Queue  // nil: the default queue; up to 100
	Kinds  []string // 1 to 100; no others are delivered

	Concurrency     int           // tasks at once, of all processes together, 1 to 1000. 0: 10
	Rate            float64       // deliveries a second, of all processes together, 0.001 to 10,000. 0: no limit
	Timeout         time.Duration // for the answer, 100 ms to 1 h. 0: 30 s
	CompleteWithin  time.Duration // for ending a task that was accepted by 202, 1 s to 30 days. 0: 15 min
	BreakerFailures int           // in a row that open the breaker, 1 to 1000. 0: 5
	BreakerPause    time.Duration // until a probe, 100 ms to 1 day. 0: 30 s
}

// SetEndpoint makes an endpoint or replaces the one of that name. A pause stays, and so does the breaker, unless url or
// secrets changed. secret is the one that was made for a new endpoint without Secrets: it is shown this once; else "". It
// returns *InvalidError.
func (c *Client) SetEndpoint(ctx context.Context, e NewEndpoint) (stored Endpoint, secret string, err error) {
	if bad := e.fill(); bad != nil {
		return Endpoint{}, "", &InvalidError{Fields: bad}
	}
	fresh := newSecret()
	stored, err = one[Endpoint](ctx, c.pool, "set endpoint", sql.EndpointSet, by(ctx, pgx.StrictNamedArgs{"name": e.Name, "url": e.URL,
		"secrets": e.Secrets, "fresh_secret": fresh, "queues": e.Queues, "kinds": e.Kinds, "concurrency": e.Concurrency, "rate": null(e.Rate),
		"timeout_ms": e.Timeout.Milliseconds(), "complete_within_ms": e.CompleteWithin.Milliseconds(),
		"breaker_failures": e.BreakerFailures, "breaker_pause_ms": e.BreakerPause.Milliseconds()}))
	if err == nil && e.Secrets == nil && stored.CreatedAt.Equal(stored.UpdatedAt) {
		secret = fresh
	}
	return stored, secret, err
}

// Endpoints returns all endpoints by name.
func (c *Client) Endpoints(ctx context.Context) ([]Endpoint, error) {
	return all[Endpoint](ctx, c.reads, "list endpoints", sql.Endpoints, pgx.StrictNamedArgs{"name": nil})
}

// Endpoint returns one endpoint, or ErrNotFound.
func (c *Client) Endpoint(ctx context.Context, name string) (Endpoint, error) {
	return named[Endpoint](ctx, c.reads, "read endpoint", sql.Endpoints, name, pgx.StrictNamedArgs{})
}

// PauseEndpoint stops deliveries to an endpoint; those under way go on, and its tasks wait. ErrNotFound: there is none of that name.
func (c *Client) PauseEndpoint(ctx context.Context, name string) error {
	type row struct{ PausedAt time.Time }
	_, err := named[row](ctx, c.pool, "pause endpoint", sql.EndpointPause, name, by(ctx, pgx.StrictNamedArgs{}))
	return err
}

// ResumeEndpoint undoes PauseEndpoint; when the breaker is open, the next task is its probe. ErrNotFound: there is none of that name.
func (c *Client) ResumeEndpoint(ctx context.Context, name string) error {
	type row struct{ Name string }
	_, err := named[row](ctx, c.pool, "resume endpoint", sql.EndpointResume, name, by(ctx, pgx.StrictNamedArgs{}))
	return err
}

// DeleteEndpoint removes an endpoint. Its tasks stay, and deliveries that are under way end as they do. ErrNotFound: there is
// none of that name.
func (c *Client) DeleteEndpoint(ctx context.Context, name string) error {
	type row struct{ Name string }
	_, err := named[row](ctx, c.pool, "delete endpoint", sql.EndpointDelete, name, by(ctx, pgx.StrictNamedArgs{}))
	return err
}

// fill sets what was left out and says what is out of bounds.
func (e *NewEndpoint) fill() (bad []FieldError) {
	check := func(ok bool, field, rule string) {
		if !ok {
			bad = append(bad, FieldError{field, rule})
		}
	}
	if len(e.Queues) == 0 {
		e.Queues = []Queue{DefaultQueue}
	}
	fallback(&e.Concurrency, 10)
	fallback(&e.Timeout, 30*time.Second)
	fallback(&e.CompleteWithin, 15*time.Minute)
	fallback(&e.BreakerFailures, 5)
	fallback(&e.BreakerPause, 30*time.Second)
	check(namePattern.MatchString(e.Name), "name", "1 to 128 letters, digits and _ . : / -, not starting with punctuation")
	check(validTarget(e.URL), "url", "http:// or https:// with a host, and with neither user nor fragment, up to 2048 bytes")
	check(e.Secrets == nil || len(e.Secrets) > 0 && len(e.Secrets) <= 4, "secrets", "1 to 4")
	for i, secret := range e.Secrets {
		_, err := SecretKey(secret)
		check(err == nil, fmt.Sprintf("secrets.%d", i), secretRule)
	}
	check(len(e.Queues) <= 100, "queues", "up to 100")
	check(len(e.Kinds) >= 1 && len(e.Kinds) <= 100, "kinds", "1 to 100")
	check(distinct(e.Queues, ValidQueue), "queues", queueRule+", each once")
	check(distinct(e.Kinds, ValidKind), "kinds", `each 1 to 128 letters, digits and _ . : / \ -, not starting with punctuation, and once`)
	check(e.Concurrency >= 1 && e.Concurrency <= 1000, "concurrency", "1 to 1000")
	check(e.Rate == 0 || e.Rate >= 0.001 && e.Rate <= 10000 && !math.IsNaN(e.Rate), "rate", "0.001 to 10000")
	check(between(e.Timeout, 100*time.Millisecond, time.Hour), "timeout_ms", "100 to 3600000")
	check(between(e.CompleteWithin, time.Second, 30*24*time.Hour), "complete_within_ms", "1000 to 2592000000")
	check(e.BreakerFailures >= 1 && e.BreakerFailures <= 1000, "breaker_failures", "1 to 1000")
	check(between(e.BreakerPause, 100*time.Millisecond, 24*time.Hour), "breaker_pause_ms", "100 to 86400000")
	return bad
}

func fallback[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func between(d, least, most time.Duration) bool { return d >= least && d <= most }

func distinct[T comparable](list []T, valid func(T) bool) bool {
	seen := map[T]bool{}
	for _, v := range list {
		if seen[v] || !valid(v) {
			return false
		}
		seen[v] = true
	}
	return true
}

func validTarget(target string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	return len(target) <= 2048 && storable(target) && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.User == nil && u.Fragment == "" && u.Opaque == "" && !strings.ContainsAny(target, " \t\r\n")
}

const (
	secretPrefix = "whsec_"
	secretRule   = "whsec_ and the base64 of 24 to 64 bytes"
)

// SecretKey returns the key of a secret in the form of Standard Webhooks, whsec_ and base64. The error never shows the secret.
func SecretKey(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(text) // each key in one spelling only; line ends it passes over all the same
	if !ok || err != nil || strings.ContainsAny(text, "\r\n") || len(key) < 24 || len(key) > 64 {
		return nil, fmt.Errorf("a secret is %s", secretRule)
	}
	return key, nil
}

func newSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}
