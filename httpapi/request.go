package httpapi

import (
	"encoding/json"
	"math"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// SubmitRequest is the body of a submit. Only Kind is needed; null and absent mean the default.
type SubmitRequest struct {
	Kind           string          `json:"kind" doc:"Names the handler: letters, digits and _ . : / \\ -" example:"report.generate"`
	Payload        json.RawMessage `json:"payload,omitempty" doc:"What the handler is given, any JSON of at most 262144 bytes. Default: {}"`
	Queue          string          `json:"queue,omitempty" doc:"Letters, digits and _ . - Default: default" example:"reports"`
	Priority       int             `json:"priority,omitempty" minimum:"-32768" maximum:"32767" doc:"Lower runs first. Default: 0"`
	RunAt          *time.Time      `json:"run_at,omitempty" doc:"Not started before. Default: now"`
	DelayMS        *int64          `json:"delay_ms,omitempty" minimum:"0" maximum:"3155760000000" doc:"Not started before so long from now. Not together with run_at"`
	MaxAttempts    *int            `json:"max_attempts,omitempty" minimum:"1" maximum:"1000" doc:"Failures until the task is failed. Default: 10"`
	TimeoutMS      *int64          `json:"timeout_ms,omitempty" minimum:"1" maximum:"31557600000" doc:"Longest run of one attempt. Default: no limit"`
	ExpiresAt      *time.Time      `json:"expires_at,omitempty" doc:"Cancelled when not started by then. Default: never"`
	UniqueKey      *string         `json:"unique_key,omitempty" minLength:"1" maxLength:"255" doc:"A task of the queue that is not final and has the key is returned instead"`
	IdempotencyKey *string         `json:"idempotency_key,omitempty" minLength:"1" maxLength:"255" doc:"The same request again returns the same task, another one is refused. Better given as the header Idempotency-Key"`
	BackoffMS      []int64         `json:"backoff_ms,omitempty" minItems:"1" maxItems:"100" nullable:"false" doc:"Wait after the first, second, … failure; the last repeats. Default: exponential with full jitter, 1 s to 1 h"`
	Watch          bool            `json:"watch,omitempty" doc:"Answer with links.watch, a URL under which a browser may follow the task without a token. Default: false"`
	WatchTTLMS     *int64          `json:"watch_ttl_ms,omitempty" minimum:"1000" maximum:"2592000000" doc:"How long that URL is valid. Only with watch. Default: 86400000, a day"`
	WatchShows     []string        `json:"watch_shows,omitempty" nullable:"false" maxItems:"2" enum:"lines,result" doc:"What that URL shows besides: lines, the log as it comes; result. Only with watch. Default: neither"`
	Tags           []string        `json:"tags,omitempty" maxItems:"16" nullable:"false" doc:"Words to find the task by, each 1 to 64 letters, digits and _ . - : / @ = +"`
}

// NewTask returns what package scheduler submits. Milliseconds that no time.Duration holds become the longest one, which
// Submit refuses.
func (r SubmitRequest) NewTask() scheduler.NewTask {
	task := scheduler.NewTask{Kind: r.Kind, Queue: scheduler.Queue(r.Queue), Priority: r.Priority, RunAt: given(r.RunAt), Delay: duration(given(r.DelayMS)),
		MaxAttempts: given(r.MaxAttempts), Timeout: duration(given(r.TimeoutMS)), ExpiresAt: given(r.ExpiresAt), UniqueKey: given(r.UniqueKey),
		IdempotencyKey: given(r.IdempotencyKey), Backoff: durations(r.BackoffMS), Tags: r.Tags}
	if len(r.Payload) > 0 {
		task.Payload = r.Payload
	}
	return task
}

// faults returns what NewTask would hide: a delay of nothing is one too, as in SQL, and so is Go's zero time.
func (r SubmitRequest) faults(at string) (faults []Detail) {
	if r.RunAt != nil && r.DelayMS != nil {
		faults = append(faults, Detail{Pointer: at + "/delay_ms", Detail: "not together with run_at"})
	}
	if r.RunAt != nil && r.RunAt.IsZero() {
		faults = append(faults, Detail{Pointer: at + "/run_at", Detail: timeRule})
	}
	if r.ExpiresAt != nil && r.ExpiresAt.IsZero() {
		faults = append(faults, Detail{Pointer: at + "/expires_at", Detail: timeRule})
	}
	if r.WatchTTLMS != nil && !r.Watch {
		faults = append(faults, Detail{Pointer: at + "/watch_ttl_ms", Detail: "only together with watch: true"})
	}
	if r.WatchShows != nil && !r.Watch {
		faults = append(faults, Detail{Pointer: at + "/watch_shows", Detail: "only together with watch: true"})
	}
	return faults
}

// watchWish is the watch URL that is wanted.
func (r SubmitRequest) watchWish() watchWish {
	switch {
	case !r.Watch:
		return watchWish{}
	case r.WatchTTLMS != nil:
		return watchWish{duration(*r.WatchTTLMS), shown(r.WatchShows)}
	}
	return watchWish{defaultWatchTTL, shown(r.WatchShows)}
}

const timeRule = "a time between the years 1970 and 9999" // as package scheduler says it

// ScheduleRequest is the body that makes or replaces a schedule. Expression and Kind are needed.
type ScheduleRequest struct {
	Expression  string          `json:"expression" doc:"Five cron fields, six with leading seconds, @hourly and the like, or @every 30s" example:"0 3 * * *"`
	Zone        string          `json:"zone,omitempty" doc:"IANA time zone in which the expression is read. Default: UTC" example:"Europe/Paris"`
	Kind        string          `json:"kind" doc:"Names the handler of the tasks"`
	Payload     json.RawMessage `json:"payload,omitempty" doc:"Default: {}"`
	Queue       string          `json:"queue,omitempty" doc:"Default: default"`
	Priority    int             `json:"priority,omitempty" minimum:"-32768" maximum:"32767" doc:"Lower runs first. Default: 0"`
	MaxAttempts *int            `json:"max_attempts,omitempty" minimum:"1" maximum:"1000" doc:"Default: 10"`
	TimeoutMS   *int64          `json:"timeout_ms,omitempty" minimum:"1" maximum:"31557600000" doc:"Default: no limit"`
	BackoffMS   []int64         `json:"backoff_ms,omitempty" minItems:"1" maxItems:"100" nullable:"false" doc:"Default: exponential with full jitter, 1 s to 1 h"`
}

// NewSchedule returns what package scheduler stores under the name. Milliseconds as in SubmitRequest.NewTask.
func (r ScheduleRequest) NewSchedule(name string) scheduler.NewSchedule {
	s := scheduler.NewSchedule{Name: name, Expression: r.Expression, Zone: r.Zone, Kind: r.Kind, Queue: scheduler.Queue(r.Queue),
		Priority: r.Priority, MaxAttempts: given(r.MaxAttempts), Timeout: duration(given(r.TimeoutMS)), Backoff: durations(r.BackoffMS)}
	if len(r.Payload) > 0 {
		s.Payload = r.Payload
	}
	return s
}

// CancelRequest is the body of a cancel, which may be left out.
type CancelRequest struct {
	Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Shown to people as the task's error. Default: cancelled on request"`
}

// WatchRequest is the body that asks for a watch URL, which may be left out.
type WatchRequest struct {
	TTLMS *int64   `json:"ttl_ms,omitempty" minimum:"1000" maximum:"2592000000" doc:"How long the URL is valid. Default: 86400000, a day"`
	Shows []string `json:"shows,omitempty" nullable:"false" maxItems:"2" enum:"lines,result" doc:"What it shows besides: lines, the log as it comes; result. Default: neither"`
}

// given returns what was given, and the zero value, which stands for the default, if nothing was.
func given[T any](value *T) (zero T) {
	if value == nil {
		return zero
	}
	return *value
}

// duration saturates: what does not fit is refused by its bound, never wrapped around.
func duration(ms int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return time.Duration(min(max(ms, -most), most)) * time.Millisecond
}

func durations(ms []int64) []time.Duration {
	if ms == nil {
		return nil
	}
	list := make([]time.Duration, len(ms))
	for i, n := range ms {
		list[i] = duration(n)
	}
	return list
}
