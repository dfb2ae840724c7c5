package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	defaultTTL    = time.Minute
	maxLeaseBody  = maxBatchBody
	leaseTagsName = "leases"
)

type leaseInput struct {
	Prefer  string `header:"Prefer" doc:"wait=N: wait up to N seconds, 1 to 60, for the first task." example:"wait=30"`
	RawBody []byte
}

type leaseOutput struct {
	Body Leases

	tasks []scheduler.LeasedTask
}

type beatInput struct {
	ID      scheduler.WorkerID `path:"id" format:"uuid"`
	RawBody []byte
}

type leaveOutput struct{}

func (s *server) registerLeases(api huma.API) {
	tags := []string{leaseTagsName}
	handle(s, api, operation{
		Operation: huma.Operation{OperationID: "lease-tasks", Method: "POST", Path: "/v1/leases", Tags: tags,
			Summary: "Take tasks to work on, waiting for the first",
			Description: "Registers the worker, or renews it. Each lease lives until it is completed, failed or released, or the worker was silent for ttl_ms. " +
				"While the call waits the server keeps the worker alive. An answer that is lost takes nothing along: name what you have in held, and what you " +
				"don't is handed back. leases is empty when nothing came in time, and at once when the worker was told to be quiet or to stop."},
		accepts: map[string]any{mediaJSON: LeaseRequest{}}, limit: maxLeaseBody, direct: s.serveLease,
	}, s.lease)
	handle(s, api, operation{
		Operation: huma.Operation{OperationID: "worker-heartbeat", Method: "POST", Path: "/v1/workers/{id}/heartbeat", Tags: tags,
			Summary: "Keep a worker and all its leases alive",
			Description: "To be sent every third of ttl_ms while it holds leases. expires_at is null for a worker that is unknown or was silent for too long: it has lost all its leases, " +
				"and leases anew. Tasks that it took more than 10 s ago and does not name are handed back."},
		accepts: map[string]any{mediaJSON: BeatRequest{}}, optional: true, limit: maxLeaseBody, codes: []Code{CodeValidationFailed},
	}, s.beat)
	handle(s, api, operation{
		Operation: huma.Operation{OperationID: "remove-worker", Method: "DELETE", Path: "/v1/workers/{id}", DefaultStatus: 204, Tags: tags,
			Summary: "Take a worker out that ends; what it holds is handed back at once", Description: "One that is not there is no error."},
		codes: []Code{CodeValidationFailed},
	}, s.leave)
	s.registerVerbs(api, tags)
}

// serveLease answers past huma, whose way by reflection would cost a good part of the request, and hands back what the worker did
// not get.
func (s *server) serveLease(w http.ResponseWriter, r *http.Request) {
	raw, problem := s.bodyOf(w, r, maxLeaseBody, false, mediaJSON)
	if problem != nil {
		problem.write(w, r)
		return
	}
	in := leaseInput{Prefer: r.Header.Get("Prefer"), RawBody: raw}
	ctx, cancel := context.WithTimeout(r.Context(), s.patience+seconds(parseWait(in.Prefer))) // nothing is leased for who may be gone
	defer cancel()
	out, err := s.lease(ctx, &in)
	if err != nil {
		s.problem(ctx, err).write(w, r)
		return
	}
	w.Header().Set("Content-Type", mediaJSON)
	if err := huma.DefaultJSONFormat.Marshal(w, &out.Body); err != nil || r.Context().Err() != nil {
		s.client.HandBack(r.Context(), out.tasks)
	}
}

func (s *server) lease(ctx context.Context, in *leaseInput) (*leaseOutput, error) {
	request, err := s.leaseBody.one(in.RawBody)
	if err != nil {
		return nil, err
	}
	poll, faults := request.poll()
	if faults != nil {
		return nil, invalid(faults...)
	}
	poll.Wait = seconds(parseWait(in.Prefer))
	if stopping, ok := ctx.Value(stopKey{}).(context.Context); ok {
		poll.Stop = stopping.Done()
	}
	got, err := s.client.Poll(ctx, poll)
	if err != nil {
		return nil, err
	}
	return &leaseOutput{Body: newLeases(poll.Worker, got), tasks: got.Tasks}, nil
}

// poll returns what package scheduler takes.
func (r LeaseRequest) poll() (scheduler.Poll, []Detail) {
	p := scheduler.Poll{Max: 1, Tells: r.Held != nil, Worker: scheduler.WorkerInfo{ID: scheduler.NewWorkerID(), TTL: defaultTTL,
		Queues: []scheduler.Queue{scheduler.DefaultQueue}, Kinds: r.Kinds}}
	its := &p.Worker
	if r.Queues != nil {
		its.Queues = nil
	}
	for _, queue := range r.Queues {
		if !slices.Contains(its.Queues, scheduler.Queue(queue)) {
			its.Queues = append(its.Queues, scheduler.Queue(queue))
		}
	}
	if r.Max != nil {
		p.Max = *r.Max
	}
	if r.TTLMS != nil {
		its.TTL = duration(*r.TTLMS)
	}
	var faults []Detail
	if w := r.Worker; w != nil {
		if w.ID != "" {
			id, err := scheduler.ParseWorkerID(w.ID)
			if err != nil || id.IsZero() {
				faults = append(faults, Detail{Pointer: "/worker/id", Detail: "a UUID that is made at each start of the worker"})
			}
			its.ID = id
		}
		its.Name, its.Host, its.PID, its.Version, its.Language = w.Name, w.Host, w.PID, w.Version, w.Language
		its.Slots = w.Slots
	}
	if its.Slots == 0 {
		its.Slots = p.Max
	}
	if its.Name == "" {
		its.Name = "worker-" + its.ID.String()[:8]
	}
	held, wrong := parseLeases(r.Held, "/held")
	p.Held = held
	return p, append(faults, wrong...)
}

// parseLeases reads tokens that stand at a pointer.
func parseLeases(tokens []string, at string) (list []scheduler.Lease, faults []Detail) {
	for i, token := range tokens {
		lease, err := scheduler.ParseLeaseToken(token)
		if err != nil {
			faults = append(faults, Detail{Pointer: at + "/" + strconv.Itoa(i), Detail: leaseRule})
		}
		list = append(list, lease)
	}
	return list, faults
}

const leaseRule = "a lease as it came"

func (s *server) beat(ctx context.Context, in *beatInput) (*output[Beat], error) {
	request, err := s.beatBody.one(in.RawBody)
	if err != nil {
		return nil, err
	}
	held, faults := parseLeases(request.Leases, "/leases")
	if faults != nil {
		return nil, invalid(faults...)
	}
	memory := int64(0)
	if request.MemoryBytes != nil {
		memory = *request.MemoryBytes
	}
	orders, err := s.client.RemoteHeartbeat(ctx, in.ID, held, memory)
	if err != nil {
		return nil, err
	}
	out := Beat{State: string(orders.Command), Cancelled: tokens(orders.Cancelled), Lost: tokens(orders.Lost)}
	if !orders.ExpiresAt.IsZero() {
		out.ExpiresAt = utc(&orders.ExpiresAt)
	}
	return &output[Beat]{out}, nil
}

func tokens(leases []scheduler.Lease) []string {
	list := make([]string, len(leases))
	for i, lease := range leases {
		list[i] = lease.Token()
	}
	return list
}

func (s *server) leave(ctx context.Context, in *workerInput) (*leaveOutput, error) {
	return &leaveOutput{}, s.client.Leave(ctx, in.ID)
}
