package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/pgscheduler/scheduler/scheduler"
)

// register puts every operation on the mux and into the document, which is made from the same Go types that are sent.
func (s *server) register() (err error) {
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "scheduler", Version: s.version, Description: "A durable task scheduler on PostgreSQL. " +
				"Ids are UUIDs of version 7, times RFC 3339 in UTC, durations milliseconds. Errors are problems (RFC 9457) with a closed list of codes.",
				License: &huma.License{Name: "MIT", Identifier: "MIT"}},
			Servers: []*huma.Server{{URL: "/"}},
			Components: &huma.Components{
				Schemas:         huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}},
			},
			Security: []map[string][]string{{"token": {}}, {}},
		},
		Formats:                      huma.DefaultFormats,
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{asProblem},
	}
	config.AllowAdditionalPropertiesByDefault = true // answers may grow
	api := humago.New(s.mux, config)
	api.UseMiddleware(checkQuery)
	registry := api.OpenAPI().Components.Schemas
	s.submits, s.cancels, s.plans = newDecoder[SubmitRequest](registry), newDecoder[CancelRequest](registry), newDecoder[ScheduleRequest](registry)
	s.watches = newDecoder[WatchRequest](registry)
	s.posts, s.subs = newDecoder[PublishRequest](registry), newDecoder[SubscriptionRequest](registry)
	s.leaseBody, s.beatBody = newDecoder[LeaseRequest](registry), newDecoder[BeatRequest](registry)
	s.heartbeats, s.completes = newDecoder[LeaseHeartbeatRequest](registry), newDecoder[CompleteRequest](registry)
	s.fails, s.releases = newDecoder[FailRequest](registry), newDecoder[ReleaseRequest](registry)
	s.asks = newDecoder[SocketRequest](registry)
	registry.Schema(reflect.TypeFor[SocketMessage](), true, "")
	s.edits, s.bulkBody = newDecoder[EditRequest](registry), newDecoder[BulkRequest](registry)
	s.registerTasks(api)
	s.registerQueues(api)
	s.registerWorkers(api)
	s.registerLeases(api)
	s.registerSchedules(api)
	s.registerTopics(api)
	s.registerEndpoints(api)
	s.registerBulk(api)
	s.registerDead(api)
	s.registerStats(api)
	s.registerAudit(api)
	s.registerHealth(api)
	s.registerEvents(api)
	s.registerWatch(api)
	s.registerSocket(api)
	finish(registry)
	s.document, err = documentOf(api.OpenAPI())
	return err
}

// documentOf writes the document without huma's own words, which are no part of the standard.
func documentOf(api *huma.OpenAPI) ([]byte, error) {
	raw, err := json.Marshal(api)
	if err != nil {
		return nil, err
	}
	var document any
	if err := json.Unmarshal(raw, &document); err != nil {
		return nil, err
	}
	strip(document)
	return json.Marshal(document)
}

func strip(value any) {
	switch value := value.(type) {
	case map[string]any:
		delete(value, "patternDescription")
		for _, member := range value {
			strip(member)
		}
	case []any:
		for _, element := range value {
			strip(element)
		}
	}
}

// operation is a route and what its types don't say.
type operation struct {
	huma.Operation
	accepts  map[string]any   // media type → a value of the type of the body, nil: no body is read
	optional bool             // the body
	limit    int64            // bytes of the body; 0: maxBody
	also     map[int]string   // further statuses with the same answer, and when
	codes    []Code           // problems beside those that any request can meet
	direct   http.HandlerFunc // answers in the place of huma, which then only describes the operation; nil: huma answers
}

// handle registers an operation; its errors go through the table of problem.go.
func handle[I, O any](s *server, api huma.API, op operation, answer func(context.Context, *I) (*O, error)) {
	registry := api.OpenAPI().Components.Schemas
	op.Responses = op.problems(registry)
	if op.direct != nil {
		op.Middlewares = append(op.Middlewares, op.instead)
	}
	var content map[string]*huma.MediaType
	if op.accepts != nil {
		content = map[string]*huma.MediaType{}
		for media, body := range op.accepts {
			schema := registry.Schema(reflect.TypeOf(body), true, "")
			schema.Nullable = false
			content[media] = &huma.MediaType{Schema: schema}
		}
		op.RequestBody = &huma.RequestBody{}
		op.SkipValidateBody = true // the decoders do that
		if op.limit == 0 {
			op.limit = maxBody
		}
		op.Middlewares = append(op.Middlewares, s.readBody(op.limit, op.optional, slices.Sorted(maps.Keys(content))...))
	} else if op.Method == http.MethodPost {
		op.Middlewares = append(op.Middlewares, s.noBody)
	}
	op.Middlewares = append(op.Middlewares, s.limit) // behind the body, whose time is the client's
	huma.Register(api, op.Operation, func(ctx context.Context, in *I) (*O, error) {
		out, err := answer(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
	if content != nil { // huma took it for octets
		op.RequestBody.Content, op.RequestBody.Required = content, !op.optional
	}
	success := op.Responses[strconv.Itoa(op.success())]
	for status, when := range op.also {
		also := &huma.Response{Description: when, Headers: success.Headers}
		if status != http.StatusNotModified {
			also.Content = success.Content
		}
		op.Responses[strconv.Itoa(status)] = also
	}
}

// instead is the step behind which huma does not come, but for a query, which it refuses.
func (op operation) instead(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if hasQuery(r) {
		next(ctx)
		return
	}
	op.direct(w, r)
}

func (op operation) success() int {
	if op.DefaultStatus != 0 {
		return op.DefaultStatus
	}
	return http.StatusOK
}

// problems describes the answers that are none: by status those of the operation's own, and any other.
func (op operation) problems(registry huma.Registry) map[string]*huma.Response {
	content := map[string]*huma.MediaType{"application/problem+json": {Schema: registry.Schema(reflect.TypeFor[Problem](), true, "")}}
	responses := map[string]*huma.Response{"default": {Description: "Any other problem", Content: content}}
	if op.accepts != nil {
		op.codes = append(op.codes, CodeMalformedJSON, CodePayloadTooLarge, CodeUnsupportedMediaType, CodeValidationFailed)
	} else if op.Method == http.MethodPost {
		op.codes = append(op.codes, CodeMalformedJSON, CodePayloadTooLarge)
	}
	for _, code := range op.codes {
		status := strconv.Itoa(codes[code].status)
		if responses[status] == nil {
			responses[status] = &huma.Response{Content: content}
		}
		r := responses[status]
		r.Description = strings.TrimPrefix(r.Description+", "+string(code), ", ")
	}
	return responses
}

// problem turns an error into what is sent, and logs what is no fault of the client's.
func (s *server) problem(ctx context.Context, err error) *Problem {
	p := problemOf(ctx, err)
	if p.Code == CodeInternal { // the schema may have been taken away under a running server
		var schema *scheduler.SchemaError
		if errors.As(s.client.CheckSchema(ctx), &schema) {
			p = problemOf(ctx, schema)
		}
	}
	p.RequestID = requestID(ctx)
	if p.Status >= http.StatusInternalServerError && !errors.Is(ctx.Err(), context.Canceled) {
		level := slog.LevelWarn
		if p.Code == CodeInternal {
			level = slog.LevelError
		}
		s.logger.LogAttrs(ctx, level, "request: "+string(p.Code), slog.String("request_id", p.RequestID), slog.Any("err", err))
	}
	return p
}

// asProblem turns errors that huma found by itself, about parameters, into problems. (Its global NewError stays as it is:
// the program around may use huma too.)
func asProblem(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	var faults []Detail
	for _, e := range model.Errors {
		fault := Detail{Detail: strings.TrimPrefix(strings.TrimPrefix(e.Message, "invalid value: "), "invalid id: ")}
		if strings.HasPrefix(e.Message, "invalid date/time") {
			fault.Detail = "a time as 2026-01-02T15:04:05Z or 2026-01-02T15:04:05%2B01:00: a + in a query is written %2B"
		}
		switch where, name, _ := strings.Cut(e.Location, "."); where {
		case "path", "query":
			fault.Parameter = name
		case "header":
			fault.Header = name
		}
		faults = append(faults, fault)
	}
	p := newProblem(CodeInternal, model.Detail, faults...)
	if model.Status == http.StatusUnprocessableEntity && faults != nil {
		p = invalid(faults...)
	}
	if p.Status != model.Status {
		panic(fmt.Errorf("huma answered %d: %s", model.Status, model.Detail)) // ServeHTTP answers; nothing is sent yet
	}
	p.RequestID = requestID(ctx.Context())
	return p, nil
}

// finish mends what huma derives from types: bodies sent to us have no further members and the names of names.go, objects
// behind pointers may be null, and its own error types are never sent.
func finish(registry huma.Registry) {
	schemas := registry.Map()
	for _, name := range []string{"SubmitRequest", "CancelRequest", "EditRequest", "BulkRequest", "TaskFilter", "ScheduleRequest", "WatchRequest",
		"PublishRequest", "SubscriptionRequest", "LeaseRequest", "RemoteWorker", "BeatRequest", "LeaseHeartbeatRequest", "CompleteRequest", "FailRequest",
		"ReleaseRequest", "ProgressReport", "LeaseError", "LeaseBatchRequest", "LeaseItem", "EndpointRequest", "SocketRequest"} {
		body := schemas[name]
		body.AdditionalProperties = false
		for field, rule := range map[string]*huma.Schema{"kind": kindName("").Schema(nil), "queue": queueName("").Schema(nil), "pattern": patternName("").Schema(nil)} {
			if property := body.Properties[field]; property != nil {
				property.Pattern, property.PatternDescription = rule.Pattern, rule.PatternDescription
				property.PrecomputeMessages()
			}
		}
		if tags := body.Properties["tags"]; tags != nil {
			rule := tagName("").Schema(nil)
			tags.Items.Pattern, tags.Items.PatternDescription = rule.Pattern, rule.PatternDescription
			tags.Items.PrecomputeMessages()
		}
		for field, rule := range map[string]*huma.Schema{"kinds": kindName("").Schema(nil), "queues": queueName("").Schema(nil)} {
			if property := body.Properties[field]; property != nil {
				property.Items.Pattern, property.Items.PatternDescription = rule.Pattern, rule.PatternDescription
				property.Items.PrecomputeMessages()
			}
		}
		if backoff := body.Properties["backoff_ms"]; backoff != nil { // tags have no way to bound elements
			least, most := 0.0, 31557600000.0
			backoff.Items.Minimum, backoff.Items.Maximum = &least, &most
			backoff.Items.PrecomputeMessages()
		}
	}
	for _, object := range []reflect.Type{reflect.TypeFor[Task](), reflect.TypeFor[Attempt](), reflect.TypeFor[WatchedTask](), reflect.TypeFor[Endpoint]()} {
		for i := range object.NumField() {
			field := object.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			property := schemas[object.Name()].Properties[name]
			if field.Type.Kind() == reflect.Pointer && property.Ref != "" {
				schemas[object.Name()].Properties[name] = &huma.Schema{Description: property.Description,
					AnyOf: []*huma.Schema{{Ref: property.Ref}, {Type: "null"}}}
			}
		}
	}
	code := schemas["Problem"].Properties["code"]
	for _, known := range slices.Sorted(maps.Keys(codes)) {
		code.Enum = append(code.Enum, string(known))
	}
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
}
