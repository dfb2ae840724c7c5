package httpapi

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Subscription makes a task of each message whose topic its pattern matches.
type Subscription struct {
	Name        string            `json:"name"`
	Pattern     string            `json:"pattern" doc:"AMQP topic pattern: * is any one word, # any number of words."`
	Kind        string            `json:"kind"`
	Queue       string            `json:"queue"`
	Priority    int               `json:"priority"`
	MaxAttempts int               `json:"max_attempts"`
	TimeoutMS   *int64            `json:"timeout_ms"`
	BackoffMS   []int64           `json:"backoff_ms" nullable:"true"`
	CreatedAt   time.Time         `json:"created_at"`
	UpdatedAt   time.Time         `json:"updated_at"`
	Links       SubscriptionLinks `json:"links"`
}

// SubscriptionLinks are the paths of a subscription.
type SubscriptionLinks struct {
	Self string `json:"self"`
}

// NewSubscription returns the wire form of a subscription.
func NewSubscription(s scheduler.Subscription) Subscription {
	return Subscription{Name: s.Name, Pattern: s.Pattern, Kind: s.Kind, Queue: string(s.Queue), Priority: s.Priority, MaxAttempts: s.MaxAttempts,
		TimeoutMS: s.TimeoutMS, BackoffMS: s.BackoffMS, CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(),
		Links: SubscriptionLinks{Self: "/v1/subscriptions/" + url.PathEscape(s.Name)}}
}

// SubscriptionRequest is the body that makes or replaces a subscription. Pattern and Kind are needed.
type SubscriptionRequest struct {
	Pattern     string  `json:"pattern" doc:"Words with dots between them, of letters, digits and _ : - ; * stands for any one word, # for any number of words, none too. At most 255 bytes" example:"order.*"`
	Kind        string  `json:"kind" doc:"Names the handler of the tasks" example:"mail.send"`
	Queue       string  `json:"queue,omitempty" doc:"Default: default"`
	Priority    int     `json:"priority,omitempty" minimum:"-32768" maximum:"32767" doc:"Lower runs first. Default: 0"`
	MaxAttempts *int    `json:"max_attempts,omitempty" minimum:"1" maximum:"1000" doc:"Default: 10"`
	TimeoutMS   *int64  `json:"timeout_ms,omitempty" minimum:"1" maximum:"31557600000" doc:"Default: no limit"`
	BackoffMS   []int64 `json:"backoff_ms,omitempty" minItems:"1" maxItems:"100" nullable:"false" doc:"Default: exponential with full jitter, 1 s to 1 h"`
}

// NewSubscription returns what package scheduler stores under the name. Milliseconds as in SubmitRequest.NewTask.
func (r SubscriptionRequest) NewSubscription(name string) scheduler.NewSubscription {
	return scheduler.NewSubscription{Name: name, Pattern: r.Pattern, Kind: r.Kind, Queue: scheduler.Queue(r.Queue), Priority: r.Priority,
		MaxAttempts: given(r.MaxAttempts), Timeout: duration(given(r.TimeoutMS)), Backoff: durations(r.BackoffMS)}
}

// PublishRequest is the body of a publish, which may be left out.
type PublishRequest struct {
	Payload        json.RawMessage `json:"payload,omitempty" doc:"What handlers and followers are given, any JSON of at most 262144 bytes. Default: {}"`
	IdempotencyKey *string         `json:"idempotency_key,omitempty" minLength:"1" maxLength:"255" doc:"The same request again, to the same topic, publishes nothing and returns the first message; another one is refused. Better given as the header Idempotency-Key"`
}

// NewMessage returns what package scheduler publishes.
func (r PublishRequest) NewMessage(topic string) scheduler.NewMessage {
	m := scheduler.NewMessage{Topic: topic, IdempotencyKey: given(r.IdempotencyKey)}
	if len(r.Payload) > 0 {
		m.Payload = r.Payload
	}
	return m
}

// Published is a message and the tasks that were made of it.
type Published struct {
	ID          string          `json:"id" doc:"Of the message; also message_id of its tasks, and id of its event."`
	Topic       string          `json:"topic"`
	PublishedAt time.Time       `json:"published_at"`
	Tasks       []PublishedTask `json:"tasks" nullable:"false" doc:"One for each subscription that matches, by its name."`
}

// PublishedTask is the task that a subscription got.
type PublishedTask struct {
	ID           string `json:"id" format:"uuid"`
	Subscription string `json:"subscription"`
	Queue        string `json:"queue"`
	Kind         string `json:"kind"`
}

// NewPublished returns the wire form of what was published to a topic.
func NewPublished(topic string, p scheduler.Published) Published {
	out := Published{ID: strconv.FormatInt(p.ID, 10), Topic: topic, PublishedAt: p.PublishedAt.UTC(), Tasks: make([]PublishedTask, len(p.Tasks))}
	for i, t := range p.Tasks {
		out.Tasks[i] = PublishedTask{ID: t.ID.String(), Subscription: t.Subscription, Queue: string(t.Queue), Kind: t.Kind}
	}
	return out
}

type subscriptionInput struct {
	Name scheduleName `path:"name"`
}

type setSubscriptionInput struct {
	Name    scheduleName `path:"name"`
	RawBody []byte
}

type subscriptionsInput struct {
	Topic  topicName    `query:"topic" doc:"Only those that a message of this topic would make tasks for."`
	Limit  int          `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Subscriptions at most."`
	Cursor scheduleName `query:"cursor" doc:"The next_cursor of the page before."`
}

type publishInput struct {
	Topic          topicName `path:"topic"`
	IdempotencyKey string    `header:"Idempotency-Key" doc:"Bare, or quoted as a string of RFC 9651. The same request under the same key publishes nothing and returns the first message; another one is refused."`
	RequestID      string    `header:"X-Request-Id" doc:"The idempotency key of a request that brings none in its own header or body."`
	TraceParent    string    `header:"traceparent" doc:"The trace that the tasks belong to (W3C Trace Context); one that is none is ignored."`
	RawBody        []byte
}

type subscriptionOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     Subscription
}
type publishOutput struct {
	Replayed string `header:"Idempotency-Replayed" doc:"true: the same request came before, this is its message."`
	Body     Published
}

func (s *server) registerTopics(api huma.API) {
	tags, one := []string{"topics"}, []Code{CodeNotFound, CodeValidationFailed}
	handle(s, api, operation{Operation: huma.Operation{OperationID: "publish", Method: "POST", Path: "/v1/topics/{topic}/publish", Tags: tags, DefaultStatus: 202,
		Summary: "Publish a message", Description: "In one transaction: a task for each subscription that matches, and the message for all who follow the topic."},
		accepts: map[string]any{mediaJSON: PublishRequest{}}, optional: true, codes: []Code{CodeKeyReused}}, s.publish)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "list-subscriptions", Method: "GET", Path: "/v1/subscriptions", Tags: tags,
		Summary: "Subscriptions by name"}, codes: []Code{CodeValidationFailed}}, s.subscriptions)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "get-subscription", Method: "GET", Path: "/v1/subscriptions/{name}", Tags: tags,
		Summary: "One subscription"}, codes: one}, s.subscription)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "set-subscription", Method: "PUT", Path: "/v1/subscriptions/{name}", Tags: tags,
		Summary: "Make or replace a subscription", Description: "Messages that are published from then on are matched by it."},
		accepts: map[string]any{mediaJSON: SubscriptionRequest{}}, also: map[int]string{201: "It is new"}}, s.setSubscription)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "delete-subscription", Method: "DELETE", Path: "/v1/subscriptions/{name}", Tags: tags,
		DefaultStatus: 204, Summary: "Remove a subscription; tasks that were made for it stay"}, codes: one}, s.deleteSubscription)
	s.registerTopicEvents(api)
}

func (s *server) publish(ctx context.Context, in *publishInput) (*publishOutput, error) {
	request, err := s.posts.one(in.RawBody)
	if err != nil {
		return nil, err
	}
	keys := submitInput{IdempotencyKey: in.IdempotencyKey, RequestID: in.RequestID}
	if request.IdempotencyKey, err = keys.key(request.IdempotencyKey); err != nil {
		return nil, err
	}
	p, err := s.client.Publish(ctx, request.NewMessage(string(in.Topic)))
	if err != nil {
		return nil, err
	}
	out := &publishOutput{Body: NewPublished(string(in.Topic), p)}
	if p.Replayed {
		out.Replayed = "true"
	}
	return out, nil
}

func (s *server) subscriptions(ctx context.Context, in *subscriptionsInput) (*output[Page[Subscription]], error) {
	list, err := s.client.Subscriptions(ctx, scheduler.SubscriptionFilter{Topic: string(in.Topic), After: string(in.Cursor), Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := &output[Page[Subscription]]{pageOf(list, NewSubscription)}
	if len(list) == in.Limit {
		out.Body.NextCursor = &list[len(list)-1].Name
	}
	return out, nil
}

func (s *server) subscription(ctx context.Context, in *subscriptionInput) (*subscriptionOutput, error) {
	found, err := s.client.Subscription(ctx, string(in.Name))
	if err != nil {
		return nil, noSuch(err, "subscription "+string(in.Name))
	}
	return &subscriptionOutput{Status: 200, Body: NewSubscription(found)}, nil
}

func (s *server) setSubscription(ctx context.Context, in *setSubscriptionInput) (*subscriptionOutput, error) {
	request, err := s.subs.one(in.RawBody)
	if err != nil {
		return nil, err
	}
	stored, err := s.client.SetSubscription(ctx, request.NewSubscription(string(in.Name)))
	if err != nil {
		return nil, err
	}
	out := &subscriptionOutput{Status: 200, Body: NewSubscription(stored)}
	if stored.CreatedAt.Equal(stored.UpdatedAt) {
		out.Status, out.Location = 201, out.Body.Links.Self
	}
	return out, nil
}

func (s *server) deleteSubscription(ctx context.Context, in *subscriptionInput) (*struct{}, error) {
	return nil, noSuch(s.client.DeleteSubscription(ctx, string(in.Name)), "subscription "+string(in.Name))
}
