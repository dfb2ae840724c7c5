package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

const maxLeaseBatch = 500

// LeaseBatchRequest is the body that says something of several leases.
type LeaseBatchRequest struct {
	Items []LeaseItem `json:"items" minItems:"1" maxItems:"500" nullable:"false"`
}

// LeaseItem is what is said of one lease: the op, and the fields of its body.
type LeaseItem struct {
	Lease        string          `json:"lease"`
	Op           string          `json:"op" enum:"heartbeat,complete,fail,release"`
	Progress     *ProgressReport `json:"progress,omitempty"`
	Logs         []LogEntry      `json:"logs,omitempty" nullable:"false"`
	Checkpoint   json.RawMessage `json:"checkpoint,omitempty" doc:"Of heartbeat, fail and release"`
	Result       json.RawMessage `json:"result,omitempty" doc:"Of complete"`
	Error        *LeaseError     `json:"error,omitempty" doc:"Of fail"`
	Retryable    *bool           `json:"retryable,omitempty" doc:"Of fail"`
	RetryAfterMS *int64          `json:"retry_after_ms,omitempty" doc:"Of fail"`
	DelayMS      *int64          `json:"delay_ms,omitempty" doc:"Of release"`
	Reason       string          `json:"reason,omitempty" doc:"Of release"`
}

// LeaseResults are the answers to a batch, in order.
type LeaseResults struct {
	Results []LeaseResult `json:"results" nullable:"false"`
}

// LeaseResult is the answer to one item: as of the op alone, or its problem in short.
type LeaseResult struct {
	Status    int        `json:"status" doc:"As of the op alone."`
	State     string     `json:"state,omitempty" doc:"Of heartbeat what the worker is asked to do, else what the task became."`
	Cancelled *bool      `json:"cancelled,omitempty" doc:"Of heartbeat."`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Of heartbeat."`
	Code      Code       `json:"code,omitempty" doc:"Of a problem."`
	Detail    string     `json:"detail,omitempty" doc:"Of a problem."`
	Errors    []Detail   `json:"errors,omitempty" nullable:"false" doc:"Of a problem."`
}

type leaseBatchInput struct{ RawBody []byte }

func (s *server) registerLeaseBatch(api huma.API, tags []string) {
	handle(s, api, operation{
		Operation: huma.Operation{OperationID: "settle-leases", Method: "POST", Path: "/v1/leases/batch", Tags: tags,
			Summary: "Say something of up to 500 leases in one transaction",
			Description: "Each item is answered as its op alone would be, in order; one that can't be done does not spoil the others. " +
				"What the database refuses or has locked is tried once more by itself."},
		accepts: map[string]any{mediaJSON: LeaseBatchRequest{}}, limit: maxLeaseBody,
		direct: direct(s, false, func(_ *http.Request, raw []byte) *leaseBatchInput { return &leaseBatchInput{raw} }, s.leaseBatch),
	}, s.leaseBatch)
}

func (s *server) leaseBatch(ctx context.Context, in *leaseBatchInput) (*output[LeaseResults], error) {
	items, err := leaseItems(in.RawBody)
	if err != nil {
		return nil, err
	}
	results := make([]LeaseResult, len(items))
	var list []scheduler.Settling
	var which []int
	for i, raw := range items {
		settling, err := s.leaseItem(raw, "/items/"+strconv.Itoa(i))
		if err != nil {
			results[i] = s.problemResult(ctx, err)
			continue
		}
		list, which = append(list, settling), append(which, i)
	}
	answers, err := s.client.SettleMany(ctx, list)
	if err != nil {
		return nil, err
	}
	for at, i := range which {
		results[i] = s.leaseResult(ctx, list[at].Verb, answers[at])
	}
	return &output[LeaseResults]{LeaseResults{results}}, nil
}

// leaseItems returns the items of a body.
func leaseItems(raw []byte) ([]json.RawMessage, error) {
	if err := checkJSON(raw, ""); err != nil {
		return nil, err
	}
	list, ok := members(raw)
	if !ok {
		return nil, invalid(Detail{Detail: "expected an object"})
	}
	var items []json.RawMessage
	for _, m := range list {
		if m.name != "items" || items != nil {
			return nil, invalid(Detail{Pointer: "/" + escapePointer(m.name), Detail: "only items is known, and once"})
		}
		if items, ok = elements(m.value, maxLeaseBatch); !ok || len(items) == 0 {
			return nil, invalid(Detail{Pointer: "/items", Detail: "expected an array of 1 to " + strconv.Itoa(maxLeaseBatch)})
		}
	}
	if items == nil {
		return nil, invalid(Detail{Pointer: "/items", Detail: "needed"})
	}
	return items, nil
}

// leaseItem reads one item: what is left of it without lease and op is the body of the op.
func (s *server) leaseItem(raw []byte, at string) (scheduler.Settling, error) {
	var settling scheduler.Settling
	list, ok := members(raw)
	if !ok {
		return settling, invalid(Detail{Pointer: at, Detail: "expected an object"})
	}
	read, lease, faults := s.leaseOp(list, at)
	if faults != nil {
		return settling, invalid(faults...)
	}
	settling, faults, err := read(objectOf(list), at)
	if err == nil && len(faults) > 0 {
		err = invalid(faults...)
	}
	settling.Lease = lease
	return settling, err
}

type reader func(raw []byte, at string) (scheduler.Settling, []Detail, error)

// leaseOp reads lease and op.
func (s *server) leaseOp(list []member, at string) (read reader, lease scheduler.Lease, faults []Detail) {
	ops := map[string]reader{"heartbeat": s.heartbeating, "complete": s.completing, "fail": s.failing, "release": s.releasing}
	var token, op string
	for _, m := range list {
		switch m.name {
		case "lease":
			_ = json.Unmarshal(m.value, &token) // what is no string is no lease
		case "op":
			_ = json.Unmarshal(m.value, &op)
		}
	}
	lease, err := scheduler.ParseLeaseToken(token)
	if err != nil {
		faults = append(faults, Detail{Pointer: at + "/lease", Detail: leaseRule})
	}
	if read = ops[op]; read == nil {
		faults = append(faults, Detail{Pointer: at + "/op", Detail: "heartbeat, complete, fail or release"})
	}
	return read, lease, faults
}

// objectOf puts together what is left without lease and op.
func objectOf(list []member) []byte {
	list = slices.DeleteFunc(slices.Clone(list), func(m member) bool { return m.name == "lease" || m.name == "op" })
	var b strings.Builder
	b.WriteByte('{')
	for i, m := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(m.name) // a string
		b.Write(name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return []byte(b.String())
}

func (s *server) leaseResult(ctx context.Context, verb scheduler.Verb, a scheduler.SettleResult) LeaseResult {
	switch {
	case a.Err != nil:
		return s.problemResult(ctx, a.Err)
	case verb == scheduler.VerbHeartbeat:
		beat := newLeaseHeartbeat(a.Settlement)
		return LeaseResult{Status: http.StatusOK, State: beat.State, Cancelled: &beat.Cancelled, ExpiresAt: &beat.ExpiresAt}
	}
	return LeaseResult{Status: http.StatusOK, State: string(a.State)}
}

func (s *server) problemResult(ctx context.Context, err error) LeaseResult {
	var problem *Problem
	if !errors.As(err, &problem) {
		problem = s.problem(ctx, err)
	}
	return LeaseResult{Status: problem.Status, Code: problem.Code, Detail: problem.Detail, Errors: problem.Errors}
}
