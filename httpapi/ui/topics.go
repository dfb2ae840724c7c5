package ui

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

// topicsData is what the page of topics shows.
type topicsData struct {
	Topic    string // only subscriptions that match it
	Rows     []scheduler.Subscription
	Next     string // the next page; "": there is none
	Messages []messageRow
	Edit     *scheduler.Subscription // the one whose form is open; nil: none
	New      scheduler.Subscription  // an empty form
}

// messageRow is a message as the page shows it.
type messageRow struct {
	scheduler.StoredMessage
	Now time.Time
}

const (
	shownSubscriptions = 100
	shownMessages      = 50
)

func (u *UI) topics(r *http.Request) (*screen, error) {
	topic, after := r.URL.Query().Get("topic"), r.URL.Query().Get("after")
	data := topicsData{Topic: topic, New: scheduler.Subscription{Queue: scheduler.DefaultQueue, MaxAttempts: 10}}
	var messages []scheduler.StoredMessage
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) {
		data.Rows, err = u.client.Subscriptions(ctx, scheduler.SubscriptionFilter{Topic: topic, After: after, Limit: shownSubscriptions})
		return err
	})
	if edit := r.URL.Query().Get("edit"); edit != "" {
		group.Go(func() error {
			s, err := u.client.Subscription(ctx, edit)
			if errors.Is(err, scheduler.ErrNotFound) { // deleted meanwhile: the page shows what there is
				return nil
			}
			data.Edit = &s
			return err
		})
	}
	group.Go(func() (err error) { messages, err = u.client.Messages(ctx, shownMessages); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if len(data.Rows) == shownSubscriptions {
		data.Next = "/topics?topic=" + query(topic) + "&after=" + query(data.Rows[len(data.Rows)-1].Name)
	}
	now := time.Now()
	for _, m := range messages {
		data.Messages = append(data.Messages, messageRow{m, now})
	}
	return &screen{Name: "topics", Title: "Topics", Data: data,
		Wire: map[string]any{"items": list(data.Rows, u.config.Wire.Subscription), "messages": list(messages, u.config.Wire.Message)},
		SQL: []Statement{statement(sql.Subscriptions, map[string]any{"name": "", "topic": topic, "after": after, "limit": shownSubscriptions}),
			statement(sql.Messages, map[string]any{"limit": shownMessages})}}, nil
}

// Shown is the payload on one line, cut.
func (m messageRow) Shown() string { return scheduler.Truncate(string(m.Payload), 200) }

func (u *UI) actTopic(r *http.Request) (string, error) {
	name := r.PostForm.Get("name")
	switch r.PostForm.Get("do") {
	case "delete":
		err := u.client.DeleteSubscription(r.Context(), name)
		if errors.Is(err, scheduler.ErrNotFound) {
			return "There is no subscription " + name + " any more.", nil
		}
		return fmt.Sprintf("Subscription %s is deleted; tasks that were made for it stay.", name), err
	case "set":
		return u.setSubscription(r)
	}
	return "", errBadForm
}

// setSubscription stores what the form says. What the form has no field for stays as it is.
func (u *UI) setSubscription(r *http.Request) (string, error) {
	form := r.PostForm
	s := scheduler.NewSubscription{Name: form.Get("name"), Pattern: form.Get("pattern"), Kind: form.Get("kind"), Queue: scheduler.Queue(form.Get("queue"))}
	before, err := u.client.Subscription(r.Context(), s.Name)
	switch {
	case err == nil:
		if before.TimeoutMS != nil {
			s.Timeout = time.Duration(*before.TimeoutMS) * time.Millisecond
		}
		for _, ms := range before.BackoffMS {
			s.Backoff = append(s.Backoff, time.Duration(ms)*time.Millisecond)
		}
	case !errors.Is(err, scheduler.ErrNotFound):
		return "", err
	}
	for _, field := range []struct {
		name string
		into *int
		rule string
	}{{"priority", &s.Priority, "-32768 to 32767"}, {"max_attempts", &s.MaxAttempts, "1 to 1000"}} {
		if text := form.Get(field.name); text != "" {
			if *field.into, err = strconv.Atoi(text); err != nil {
				return "", &scheduler.InvalidError{Fields: []scheduler.FieldError{{Field: field.name, Rule: field.rule}}}
			}
		}
	}
	set, err := u.client.SetSubscription(r.Context(), s)
	return fmt.Sprintf("Subscription %s is stored: %s makes tasks of %s.", set.Name, set.Pattern, set.Kind), err
}
