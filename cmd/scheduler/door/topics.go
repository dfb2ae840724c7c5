package door

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

// TopicEvent is a message of a topic that is followed.
type TopicEvent struct {
	httpapi.Message
	Cursor  string `json:"cursor"` // where to go on after it
	Expired bool   `json:"-"`      // it is none: messages are missing here
}

func (d *sqlDoor) Publish(ctx context.Context, topic string, request httpapi.PublishRequest) (httpapi.Published, error) {
	if err := checkGiven(map[string]bool{"idempotency_key": zero(request.IdempotencyKey)}); err != nil {
		return httpapi.Published{}, err
	}
	p, err := d.client.Publish(ctx, request.NewMessage(topic))
	return httpapi.NewPublished(topic, p), err
}

func (d *sqlDoor) Subscriptions(ctx context.Context, topic string) ([]httpapi.Subscription, error) {
	return pages(func(after string) ([]httpapi.Subscription, error) {
		return wires(httpapi.NewSubscription)(d.client.Subscriptions(ctx, scheduler.SubscriptionFilter{Topic: topic, After: after, Limit: subscriptionPage}))
	})
}

func (d *sqlDoor) SetSubscription(ctx context.Context, name string, request httpapi.SubscriptionRequest) (httpapi.Subscription, error) {
	if err := checkGiven(map[string]bool{"max_attempts": zero(request.MaxAttempts), "timeout_ms": zero(request.TimeoutMS)}); err != nil {
		return httpapi.Subscription{}, err
	}
	s, err := d.client.SetSubscription(ctx, request.NewSubscription(name))
	return httpapi.NewSubscription(s), err
}

func (d *sqlDoor) DeleteSubscription(ctx context.Context, name string) error {
	return d.client.DeleteSubscription(ctx, name)
}

func (d *sqlDoor) FollowTopics(ctx context.Context, pattern, after string) iter.Seq2[TopicEvent, error] {
	return func(yield func(TopicEvent, error) bool) {
		follower, err := d.follower(ctx, pattern, after)
		if err != nil {
			if ctx.Err() == nil {
				yield(TopicEvent{}, err)
			}
			return
		}
		defer follower.Close()
		for away := (outage{}); ; {
			limited, cancel := context.WithTimeout(ctx, silence)
			list, err := follower.Next(limited)
			cancel()
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, scheduler.ErrCursorExpired):
				if !yield(TopicEvent{Expired: true}, nil) {
					return
				}
				continue
			case errors.Is(err, context.DeadlineExceeded):
				err = d.client.Ping(ctx)
			}
			if err = away.judge(err); err != nil {
				yield(TopicEvent{}, err)
				return
			}
			for _, m := range list {
				if !yield(TopicEvent{Message: httpapi.NewMessage(m), Cursor: m.At.String()}, nil) {
					return
				}
			}
		}
	}
}

func (d *sqlDoor) follower(ctx context.Context, pattern, after string) (*scheduler.Follower, error) {
	var from *scheduler.Position
	if after != "" {
		position, err := scheduler.ParsePosition(after)
		if err != nil {
			return nil, err
		}
		from = &position
	}
	limited, cancel := context.WithTimeout(ctx, Outage)
	defer cancel()
	return d.client.Follow(limited, pattern, from)
}

const subscriptionPage = 1000

// pages joins the pages of subscriptions.
func pages(page func(after string) ([]httpapi.Subscription, error)) ([]httpapi.Subscription, error) {
	all := []httpapi.Subscription{}
	for after := ""; ; {
		list, err := page(after)
		all = append(all, list...)
		if err != nil || len(list) < subscriptionPage {
			return all, err
		}
		after = list[len(list)-1].Name
	}
}

func (d *httpDoor) Publish(ctx context.Context, topic string, p httpapi.PublishRequest) (httpapi.Published, error) {
	return call[httpapi.Published](ctx, d, request{method: "POST", path: []string{"topics", topic, "publish"}, body: p})
}

func (d *httpDoor) Subscriptions(ctx context.Context, topic string) ([]httpapi.Subscription, error) {
	return pages(func(after string) ([]httpapi.Subscription, error) {
		query := url.Values{"limit": {strconv.Itoa(subscriptionPage)}}
		if topic != "" {
			query.Set("topic", topic)
		}
		if after != "" {
			query.Set("cursor", after)
		}
		return items[httpapi.Subscription](ctx, d, query, "subscriptions")
	})
}

func (d *httpDoor) SetSubscription(ctx context.Context, name string, s httpapi.SubscriptionRequest) (httpapi.Subscription, error) {
	return call[httpapi.Subscription](ctx, d, request{method: "PUT", path: []string{"subscriptions", name}, body: s})
}

func (d *httpDoor) DeleteSubscription(ctx context.Context, name string) error {
	_, err := call[struct{}](ctx, d, request{method: "DELETE", path: []string{"subscriptions", name}})
	return err
}

func (d *httpDoor) FollowTopics(ctx context.Context, pattern, after string) iter.Seq2[TopicEvent, error] {
	return func(yield func(TopicEvent, error) bool) {
		for away := (outage{}); ctx.Err() == nil; pause(ctx, lookEvery) {
			heard, err := d.topicEvents(ctx, pattern, &after, yield)
			if heard {
				away = outage{}
			}
			if errors.Is(err, errEnough) || ctx.Err() != nil {
				return
			}
			if err = away.judge(err); err != nil {
				yield(TopicEvent{}, err)
				return
			}
		}
	}
}

// topicEvents follows over one connection, and moves after.
func (d *httpDoor) topicEvents(ctx context.Context, pattern string, after *string, yield func(TopicEvent, error) bool) (heard bool, err error) {
	live, cancel := context.WithCancel(ctx)
	defer cancel()
	dead := time.AfterFunc(streamSilence, cancel)
	defer dead.Stop()
	query := url.Values{}
	if *after != "" {
		query.Set("after", *after)
	}
	sent, err := d.build(live, request{method: "GET", path: []string{"topics", pattern, "events"}, query: query})
	if err != nil {
		return false, err
	}
	sent.Header.Set("Accept", "text/event-stream")
	response, err := d.client.Do(sent)
	if err != nil {
		return false, d.unreachable(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		if err != nil {
			return false, d.unreachable(ctx, err)
		}
		return false, d.refused(response, raw)
	}
	for events := bufio.NewReader(response.Body); ; {
		name, id, data, err := readEvent(events, func() { dead.Reset(streamSilence) })
		if err != nil {
			return heard, d.unreachable(ctx, err)
		}
		if id != "" {
			*after, heard = id, true
		}
		event := TopicEvent{Cursor: id, Expired: name == "cursor_expired"}
		if name == "message" {
			if err := json.Unmarshal([]byte(data), &event.Message); err != nil {
				return heard, &refusal{class: ErrUnreachable, text: "an event cannot be read: " + err.Error()}
			}
		}
		if (name == "message" || event.Expired) && !yield(event, nil) {
			return heard, errEnough
		}
	}
}
