package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

type verbInput struct {
	Lease   string `path:"lease" doc:"As it came with the task."`
	RawBody []byte
}

func (s *server) registerVerbs(api huma.API, tags []string) {
	const again = " Said again with the same lease, because the answer was lost, it is answered as before."
	registerVerb(s, api, huma.Operation{OperationID: "heartbeat-lease", Path: "/v1/leases/{lease}/heartbeat", Summary: "Tell how far a task is, and hear whether to go on",
		Description: "Renews the worker and all its leases."}, tags, LeaseHeartbeatRequest{}, s.heartbeatLease)
	registerVerb(s, api, huma.Operation{OperationID: "complete-lease", Path: "/v1/leases/{lease}/complete", Summary: "Complete a task",
		Description: "The task's progress, log lines and result are stored together." + again}, tags, CompleteRequest{}, s.completeLease)
	registerVerb(s, api, huma.Operation{OperationID: "fail-lease", Path: "/v1/leases/{lease}/fail", Summary: "End an attempt that did not succeed",
		Description: "The task is tried again after its backoff, unless it has failed max_attempts times or is not retryable." + again}, tags, FailRequest{}, s.failLease)
	registerVerb(s, api, huma.Operation{OperationID: "release-lease", Path: "/v1/leases/{lease}/release", Summary: "Hand a task back, now or for later",
		Description: "It counts as no failure." + again}, tags, ReleaseRequest{}, s.releaseLease)
	s.registerLeaseBatch(api, tags)
}

// registerVerb registers what is done with one lease.
func registerVerb[T any](s *server, api huma.API, op huma.Operation, tags []string, body any, answer func(context.Context, *verbInput) (*output[T], error)) {
	op.Method, op.Tags = http.MethodPost, tags
	handle(s, api, operation{Operation: op, accepts: map[string]any{mediaJSON: body}, optional: true, limit: maxLeaseBody, codes: []Code{CodeLeaseLost},
		direct: direct(s, true, func(r *http.Request, raw []byte) *verbInput { return &verbInput{r.PathValue("lease"), raw} }, answer)}, answer)
}

// direct answers past huma, whose way by reflection would cost a good part of the request.
func direct[I, T any](s *server, optional bool, input func(r *http.Request, raw []byte) *I, answer func(context.Context, *I) (*output[T], error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, problem := s.bodyOf(w, r, maxLeaseBody, optional, mediaJSON)
		if problem != nil {
			problem.write(w, r)
			return
		}
		ctx, cancel := s.limited(r.Context(), "")
		defer cancel()
		out, err := answer(ctx, input(r, raw))
		if err != nil {
			s.problem(ctx, err).write(w, r)
			return
		}
		w.Header().Set("Content-Type", mediaJSON)
		_ = huma.DefaultJSONFormat.Marshal(w, &out.Body) // the client may be gone
	}
}

func (in *verbInput) lease() (scheduler.Lease, error) {
	lease, err := scheduler.ParseLeaseToken(in.Lease)
	if err != nil {
		return lease, invalid(Detail{Parameter: "lease", Detail: leaseRule})
	}
	return lease, nil
}

// settle carries out one verb, whose body is read by read.
func (s *server) settle(ctx context.Context, in *verbInput, read func(raw []byte, at string) (scheduler.Settling, []Detail, error)) (scheduler.Settlement, error) {
	lease, err := in.lease()
	if err != nil {
		return scheduler.Settlement{}, err
	}
	raw := in.RawBody
	if len(raw) == 0 {
		raw = []byte("{}")
	}
	settling, faults, err := read(raw, "")
	if err == nil && len(faults) > 0 {
		err = invalid(faults...)
	}
	if err != nil {
		return scheduler.Settlement{}, err
	}
	settling.Lease = lease
	return s.client.Settle(ctx, settling)
}

func (s *server) heartbeatLease(ctx context.Context, in *verbInput) (*output[LeaseHeartbeat], error) {
	out, err := s.settle(ctx, in, s.heartbeating)
	if err != nil {
		return nil, err
	}
	return &output[LeaseHeartbeat]{newLeaseHeartbeat(out)}, nil
}

func newLeaseHeartbeat(out scheduler.Settlement) LeaseHeartbeat {
	return LeaseHeartbeat{State: string(out.Command), Cancelled: out.Cancelled, ExpiresAt: out.ExpiresAt.UTC()}
}

func (s *server) completeLease(ctx context.Context, in *verbInput) (*output[Settled], error) {
	return settledAs(s.settle(ctx, in, s.completing))
}

func (s *server) failLease(ctx context.Context, in *verbInput) (*output[Settled], error) {
	return settledAs(s.settle(ctx, in, s.failing))
}

func (s *server) releaseLease(ctx context.Context, in *verbInput) (*output[Settled], error) {
	return settledAs(s.settle(ctx, in, s.releasing))
}

func settledAs(out scheduler.Settlement, err error) (*output[Settled], error) {
	if err != nil {
		return nil, err
	}
	return &output[Settled]{Settled{State: string(out.State)}}, nil
}

func (s *server) heartbeating(raw []byte, at string) (scheduler.Settling, []Detail, error) {
	r, faults, err := s.heartbeats.object(raw, at)
	out := scheduler.Settling{Verb: scheduler.VerbHeartbeat, Checkpoint: r.Checkpoint, Lines: newLines(r.Logs), Progress: r.Progress.progress()}
	return out, append(faults, unstorable(out, at)...), err
}

func (s *server) completing(raw []byte, at string) (scheduler.Settling, []Detail, error) {
	r, faults, err := s.completes.object(raw, at)
	out := scheduler.Settling{Verb: scheduler.VerbComplete, Result: r.Result, Lines: newLines(r.Logs), Progress: r.Progress.progress()}
	return out, append(faults, unstorable(out, at)...), err
}

func (s *server) failing(raw []byte, at string) (scheduler.Settling, []Detail, error) {
	r, faults, err := s.fails.object(raw, at)
	out := scheduler.Settling{Verb: scheduler.VerbFail, Checkpoint: r.Checkpoint, Lines: newLines(r.Logs), Progress: r.Progress.progress()}
	if r.Error != nil {
		out.Failure.Code, out.Failure.Message, out.Failure.Stack = r.Error.Code, r.Error.Message, r.Error.Stack
	}
	out.Failure.Permanent = r.Retryable != nil && !*r.Retryable
	if r.RetryAfterMS != nil {
		after := duration(*r.RetryAfterMS)
		out.Failure.RetryAfter = &after
	}
	return out, append(faults, unstorable(out, at)...), err
}

func (s *server) releasing(raw []byte, at string) (scheduler.Settling, []Detail, error) {
	r, faults, err := s.releases.object(raw, at)
	out := scheduler.Settling{Verb: scheduler.VerbRelease, Reason: r.Reason, Checkpoint: r.Checkpoint, Lines: newLines(r.Logs), Progress: r.Progress.progress()}
	if r.DelayMS != nil {
		out.Delay = duration(*r.DelayMS)
	}
	return out, append(faults, unstorable(out, at)...), err
}

func (p *ProgressReport) progress() *scheduler.Progress {
	if p == nil {
		return nil
	}
	out := scheduler.Progress{Current: p.Current, Message: p.Message, Data: p.Data}
	if p.Total != nil {
		out.Total = *p.Total
	}
	return &out
}

func newLines(logs []LogEntry) []scheduler.Line {
	if logs == nil {
		return nil
	}
	now := time.Now()
	lines := make([]scheduler.Line, len(logs))
	for i, entry := range logs {
		lines[i] = scheduler.Line{At: now, Stream: entry.Stream, Message: entry.Message}
		if entry.Stream == "" {
			lines[i].Stream = "log"
		}
	}
	return lines
}

// unstorable returns what is too large.
func unstorable(s scheduler.Settling, at string) (faults []Detail) {
	check := func(raw json.RawMessage, field string) {
		if raw == nil {
			return
		}
		if err := scheduler.CheckJSON(raw); err != nil {
			faults = append(faults, Detail{Pointer: at + field, Detail: err.Error()})
		}
	}
	check(s.Result, "/result")
	check(s.Checkpoint, "/checkpoint")
	if s.Progress != nil {
		check(s.Progress.Data, "/progress/data")
	}
	return faults
}
