package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Message is a message as it is sent to those who follow its topic.
type Message struct {
	ID          string          `json:"id"`
	Topic       string          `json:"topic"`
	Payload     json.RawMessage `json:"payload"`
	PublishedAt time.Time       `json:"published_at"`
}

// NewMessage returns the wire form of a message.
func NewMessage(m *scheduler.Message) Message {
	return Message{ID: strconv.FormatInt(m.ID, 10), Topic: m.Topic, Payload: m.Payload, PublishedAt: m.PublishedAt.UTC()}
}

// storedMessage is a message as the page of topics shows it.
type storedMessage struct {
	Message
	Tasks int `json:"tasks"` // subscriptions that matched
}

func newStoredMessage(m scheduler.StoredMessage) storedMessage {
	return storedMessage{Message{ID: strconv.FormatInt(m.ID, 10), Topic: m.Topic, Payload: m.Payload, PublishedAt: m.PublishedAt.UTC()}, m.Tasks}
}

// messageFrame is the data of a message's event, on one line.
func messageFrame(m *scheduler.Message) []byte { return encodeLine(NewMessage(m)) }

// expiredFrame is the data of the event that says that messages are missing.
func expiredFrame(id string) []byte {
	p := newProblem(CodeCursorExpired, "messages after this cursor are not kept any more; the oldest that is kept comes next")
	p.RequestID = id
	return encodeLine(p)
}

func (s *server) registerTopicEvents(api huma.API) {
	registry := api.OpenAPI().Components.Schemas
	var data huma.Schema
	for _, event := range []any{Message{}, Problem{}} {
		data.AnyOf = append(data.AnyOf, registry.Schema(reflect.TypeOf(event), true, ""))
	}
	op := operation{Operation: huma.Operation{OperationID: "follow-topics", Method: "GET", Path: "/v1/topics/{pattern}/events", Tags: []string{"topics"},
		Summary: "Messages of all topics that match, live (server-sent events)",
		Description: "event: message, in the order that is the same for all who follow, on any server; event: cursor_expired, messages after the cursor are no more " +
			"kept, and the oldest that is comes next. id: what to come back with; it also comes alone, as the cursor moves on.",
		Parameters: []*huma.Param{{Name: "pattern", In: "path", Required: true, Schema: patternName("").Schema(nil)},
			{Name: "after", In: "query", Schema: &huma.Schema{Type: huma.TypeString},
				Description: "The id of the last event that was seen, or 0 for all that is kept; Last-Event-ID says the same and comes first. Default: from now on."}}},
		codes: []Code{CodeValidationFailed}}
	op.Responses = op.problems(registry)
	op.Responses["200"] = &huma.Response{Description: "The stream", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &data}}}
	api.OpenAPI().AddOperation(&op.Operation)
	s.mux.HandleFunc(op.Method+" "+op.Path, s.topicEvents)
}

// topicAfter is where a client says that it wants to go on; nil: from now on.
func topicAfter(r *http.Request) (*scheduler.Position, *Problem) {
	query, problem := strictly(r, []string{"after"}, nil)
	if problem != nil {
		return nil, problem
	}
	text, detail := r.Header.Get("Last-Event-ID"), Detail{Header: "Last-Event-ID"}
	if text == "" {
		text, detail = query.Get("after"), Detail{Parameter: "after"}
	}
	if text == "" {
		return nil, nil
	}
	position, err := scheduler.ParsePosition(text)
	if err != nil {
		detail.Detail = "the id of an event of this stream, such as 12.345, or 0"
		return nil, invalid(detail)
	}
	return &position, nil
}

// topicEvents sends messages until the client goes or stops reading, or the server stops.
func (s *server) topicEvents(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if stopping, ok := ctx.Value(stopKey{}).(context.Context); ok {
		defer context.AfterFunc(stopping, cancel)()
	}
	follower, problem := s.follow(ctx, r)
	if problem != nil {
		problem.write(w, r)
		return
	}
	defer follower.Close()
	if r.Method == http.MethodHead { // there is nothing to follow
		w.Header().Set("Content-Type", mediaEvents)
		return
	}
	out := &events{w: w, to: http.NewResponseController(w), within: s.takeWait}
	out.head(r)
	at := follower.Position()
	out.cursor(at.String()) // from here on it can be resumed
	for out.flush() == nil {
		waiting, stop := context.WithTimeout(ctx, s.silence)
		list, err := follower.Next(waiting)
		stop()
		switch {
		case err == nil:
			for _, m := range list {
				at = m.At
				out.event("message", at.String(), m.Frame(messageFrame))
			}
		case errors.Is(err, scheduler.ErrCursorExpired):
			at = follower.Position()
			out.event("cursor_expired", at.String(), expiredFrame(requestID(ctx)))
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return // the client comes back
		case at != follower.Position():
			at = follower.Position()
			out.cursor(at.String())
		default:
			out.comment()
		}
	}
}

// follow begins to follow what a request asks for.
func (s *server) follow(ctx context.Context, r *http.Request) (*scheduler.Follower, *Problem) {
	after, problem := topicAfter(r)
	if problem != nil {
		return nil, problem
	}
	pattern := r.PathValue("pattern")
	if !scheduler.ValidPattern(pattern) {
		return nil, invalid(Detail{Parameter: "pattern", Detail: patternRule})
	}
	limited, cancel := s.limited(ctx, "")
	defer cancel()
	follower, err := s.client.Follow(limited, pattern, after)
	if err != nil {
		return nil, s.problem(limited, err)
	}
	return follower, nil
}
