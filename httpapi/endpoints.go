package httpapi

import (
	"context"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Endpoint is where tasks are pushed to over HTTP.
type Endpoint struct {
	Name             string         `json:"name"`
	URL              string         `json:"url"`
	Queues           []string       `json:"queues" nullable:"false"`
	Kinds            []string       `json:"kinds" nullable:"false"`
	Concurrency      int            `json:"concurrency" doc:"Tasks at once at most, of all processes together."`
	Rate             *float64       `json:"rate" doc:"Deliveries a second at most, of all processes together. null: no limit."`
	TimeoutMS        int64          `json:"timeout_ms"`
	CompleteWithinMS int64          `json:"complete_within_ms"`
	Paused           bool           `json:"paused"`
	PausedAt         *time.Time     `json:"paused_at"`
	Breaker          Breaker        `json:"breaker"`
	InFlight         int            `json:"in_flight" doc:"Tasks in its hands: deliveries under way, and what it accepted by 202."`
	Processes        int            `json:"processes" doc:"That deliver to it. 0: nothing is delivered; start scheduler worker --push."`
	LastSuccessAt    *time.Time     `json:"last_success_at"`
	LastError        *EndpointError `json:"last_error"`
	CreatedAt        time.Time      `json:"created_at"`
	UpdatedAt        time.Time      `json:"updated_at"`
	Secret           *string        `json:"secret" doc:"The one that was made for a new endpoint. It is shown this once; null in all other answers."`
	Links            EndpointLinks  `json:"links"`
}

// Breaker is the circuit breaker of an endpoint.
type Breaker struct {
	State    string     `json:"state" enum:"closed,open,half_open" doc:"closed: delivers. open: its tasks wait. half_open: one delivery is under way that decides."`
	Failures int        `json:"failures" doc:"In a row."`
	Limit    int        `json:"limit" doc:"Failures in a row that open it."`
	PauseMS  int64      `json:"pause_ms" doc:"From opening to the next probe."`
	OpenedAt *time.Time `json:"opened_at" doc:"Since when it is not closed."`
	ProbeAt  *time.Time `json:"probe_at" doc:"The first task after this time is the probe."`
}

// EndpointError is the last failure of an endpoint.
type EndpointError struct {
	Message string    `json:"message"`
	At      time.Time `json:"at"`
}

// EndpointLinks are the paths of an endpoint.
type EndpointLinks struct {
	Self   string `json:"self"`
	Pause  string `json:"pause"`
	Resume string `json:"resume"`
}

// EndpointRequest is the body that makes or replaces an endpoint. URL and Kinds are needed.
type EndpointRequest struct {
	URL              string   `json:"url" maxLength:"2048" doc:"http or https, with neither user nor fragment" example:"https://shop.example/tasks"`
	Kinds            []string `json:"kinds" minItems:"1" maxItems:"100" nullable:"false" doc:"Kinds that are delivered, and no others"`
	Queues           []string `json:"queues,omitempty" minItems:"1" maxItems:"100" nullable:"false" doc:"Default: default"`
	Secrets          []string `json:"secrets,omitempty" minItems:"1" maxItems:"4" nullable:"false" doc:"whsec_ and the base64 of 24 to 64 bytes; deliveries carry a signature by each. Never shown again. Default: those that the endpoint has; a new one gets one made for it"`
	Concurrency      *int     `json:"concurrency,omitempty" minimum:"1" maximum:"1000" doc:"Default: 10"`
	Rate             *float64 `json:"rate,omitempty" minimum:"0.001" maximum:"10000" doc:"Deliveries a second; up to a tenth of that, at least one, at once. Default: no limit"`
	TimeoutMS        *int64   `json:"timeout_ms,omitempty" minimum:"100" maximum:"3600000" doc:"For the whole answer. Default: 30000"`
	CompleteWithinMS *int64   `json:"complete_within_ms,omitempty" minimum:"1000" maximum:"2592000000" doc:"For ending a task after an answer of 202. Default: 900000, 15 min"`
	BreakerFailures  *int     `json:"breaker_failures,omitempty" minimum:"1" maximum:"1000" doc:"In a row, open the breaker. Default: 5"`
	BreakerPauseMS   *int64   `json:"breaker_pause_ms,omitempty" minimum:"100" maximum:"86400000" doc:"From opening to a probe. Default: 30000"`
}

// NewEndpoint returns what package scheduler stores under the name.
func (r EndpointRequest) NewEndpoint(name string) scheduler.NewEndpoint {
	e := scheduler.NewEndpoint{Name: name, URL: r.URL, Kinds: r.Kinds, Secrets: r.Secrets, Concurrency: given(r.Concurrency), Rate: given(r.Rate),
		Timeout: duration(given(r.TimeoutMS)), CompleteWithin: duration(given(r.CompleteWithinMS)),
		BreakerFailures: given(r.BreakerFailures), BreakerPause: duration(given(r.BreakerPauseMS))}
	for _, queue := range r.Queues {
		e.Queues = append(e.Queues, scheduler.Queue(queue))
	}
	return e
}

// NewEndpoint returns the wire form of an endpoint.
func NewEndpoint(e scheduler.Endpoint) Endpoint {
	self := "/v1/endpoints/" + url.PathEscape(e.Name)
	wire := Endpoint{Name: e.Name, URL: e.URL, Queues: make([]string, len(e.Queues)), Kinds: append([]string{}, e.Kinds...), Concurrency: e.Concurrency, Rate: e.Rate,
		TimeoutMS: e.TimeoutMS, CompleteWithinMS: e.CompleteWithinMS, Paused: e.PausedAt != nil, PausedAt: utc(e.PausedAt),
		Breaker: Breaker{State: string(e.State), Failures: e.Failures, Limit: e.BreakerFailures, PauseMS: e.BreakerPauseMS,
			OpenedAt: utc(e.OpenedAt), ProbeAt: utc(e.ProbeAt)},
		InFlight: e.InFlight, Processes: e.Processes, LastSuccessAt: utc(e.LastSuccessAt), CreatedAt: e.CreatedAt.UTC(), UpdatedAt: e.UpdatedAt.UTC(),
		Links: EndpointLinks{Self: self, Pause: self + "/pause", Resume: self + "/resume"}}
	for i, queue := range e.Queues {
		wire.Queues[i] = string(queue)
	}
	if e.LastError != nil && e.LastErrorAt != nil {
		wire.LastError = &EndpointError{Message: *e.LastError, At: e.LastErrorAt.UTC()}
	}
	return wire
}

type endpointInput struct {
	Name endpointName `path:"name"`
}

type setEndpointInput struct {
	Name    endpointName `path:"name"`
	RawBody []byte
}

type endpointOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     Endpoint
}

func (s *server) registerEndpoints(api huma.API) {
	s.targets = newDecoder[EndpointRequest](api.OpenAPI().Components.Schemas)
	tags, one := []string{"endpoints"}, []Code{CodeNotFound, CodeValidationFailed}
	handle(s, api, operation{Operation: huma.Operation{OperationID: "list-endpoints", Method: "GET", Path: "/v1/endpoints", Tags: tags,
		Summary: "Endpoints by name", Description: "HTTP endpoints that tasks are pushed to. Secrets are never shown."}}, s.endpoints)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "get-endpoint", Method: "GET", Path: "/v1/endpoints/{name}", Tags: tags,
		Summary: "One endpoint"}, codes: one}, s.endpoint)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "set-endpoint", Method: "PUT", Path: "/v1/endpoints/{name}", Tags: tags,
		Summary: "Make or replace an endpoint", Description: "A pause stays, and so does the breaker unless url or secrets changed. The answer to a new endpoint without secrets shows the one that was made, this once."},
		accepts: map[string]any{mediaJSON: EndpointRequest{}}, also: map[int]string{201: "It is new"}}, s.setEndpoint)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "delete-endpoint", Method: "DELETE", Path: "/v1/endpoints/{name}", Tags: tags,
		DefaultStatus: 204, Summary: "Remove an endpoint; its tasks stay", Description: "Deliveries that are under way end as they do."}, codes: one}, s.deleteEndpoint)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "pause-endpoint", Method: "POST", Path: "/v1/endpoints/{name}/pause", Tags: tags,
		Summary: "Stop deliveries to an endpoint; its tasks wait"}, codes: one}, s.pauseEndpoint)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "resume-endpoint", Method: "POST", Path: "/v1/endpoints/{name}/resume", Tags: tags,
		Summary: "Let an endpoint be delivered to again", Description: "When its breaker is open, the next task is the probe."}, codes: one}, s.resumeEndpoint)
}

func (s *server) endpoints(ctx context.Context, _ *struct{}) (*output[Page[Endpoint]], error) {
	list, err := s.client.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	return &output[Page[Endpoint]]{pageOf(list, NewEndpoint)}, nil
}

func (s *server) endpoint(ctx context.Context, in *endpointInput) (*endpointOutput, error) {
	found, err := s.client.Endpoint(ctx, string(in.Name))
	if err != nil {
		return nil, noSuch(err, "endpoint "+string(in.Name))
	}
	return &endpointOutput{Status: 200, Body: NewEndpoint(found)}, nil
}

func (s *server) setEndpoint(ctx context.Context, in *setEndpointInput) (*endpointOutput, error) {
	request, err := s.targets.one(in.RawBody)
	if err != nil {
		return nil, err
	}
	stored, secret, err := s.client.SetEndpoint(ctx, request.NewEndpoint(string(in.Name)))
	if err != nil {
		return nil, err
	}
	out := &endpointOutput{Status: 200, Body: NewEndpoint(stored)}
	if stored.CreatedAt.Equal(stored.UpdatedAt) {
		out.Status, out.Location = 201, out.Body.Links.Self
	}
	if secret != "" {
		out.Body.Secret = &secret
	}
	return out, nil
}

func (s *server) deleteEndpoint(ctx context.Context, in *endpointInput) (*struct{}, error) {
	return nil, noSuch(s.client.DeleteEndpoint(ctx, string(in.Name)), "endpoint "+string(in.Name))
}

func (s *server) pauseEndpoint(ctx context.Context, in *endpointInput) (*endpointOutput, error) {
	if err := s.client.PauseEndpoint(ctx, string(in.Name)); err != nil {
		return nil, noSuch(err, "endpoint "+string(in.Name))
	}
	return s.endpoint(ctx, in)
}

func (s *server) resumeEndpoint(ctx context.Context, in *endpointInput) (*endpointOutput, error) {
	if err := s.client.ResumeEndpoint(ctx, string(in.Name)); err != nil {
		return nil, noSuch(err, "endpoint "+string(in.Name))
	}
	return s.endpoint(ctx, in)
}
