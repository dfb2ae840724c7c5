package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/pgscheduler/scheduler/scheduler"
)

// mostPicked is how many tasks one form may name.
const mostPicked = 500

// errBadForm is what a form that no page has is answered with.
var errBadForm = errors.New("the form is none of this page's; load the page again")

// errChanged is what an edit is answered with that somebody else was faster than.
var errChanged = errors.New("nothing was stored. Load the page again, and edit the task then")

// verbs are what can be done to tasks, and how it is said when it was done.
var verbs = map[string]struct {
	past string
	do   func(*scheduler.Client, context.Context, scheduler.TaskID, string) error
}{
	"retry": {"retried", func(c *scheduler.Client, ctx context.Context, id scheduler.TaskID, _ string) error {
		_, err := c.Retry(ctx, id)
		return err
	}},
	"cancel": {"cancelled", func(c *scheduler.Client, ctx context.Context, id scheduler.TaskID, why string) error {
		_, err := c.Cancel(ctx, id, why)
		return err
	}},
	"delete": {"deleted", func(c *scheduler.Client, ctx context.Context, id scheduler.TaskID, _ string) error {
		return c.Delete(ctx, id)
	}},
	"run": {"made ready", func(c *scheduler.Client, ctx context.Context, id scheduler.TaskID, _ string) error {
		_, err := c.RunNow(ctx, id)
		return err
	}},
}

// actTasks does something to the tasks that a form names, one after the other. What can't be done to one is said, and does not
// keep it from the others.
func (u *UI) actTasks(r *http.Request) (string, error) {
	verb, ok := verbs[r.PostForm.Get("do")]
	ids := r.PostForm["id"]
	switch {
	case !ok || len(ids) > mostPicked:
		return "", errBadForm
	case len(ids) == 0:
		return "No task was selected.", nil
	}
	reason := r.PostForm.Get("reason")
	done, first := 0, error(nil)
	for _, text := range ids {
		id, err := scheduler.ParseTaskID(text)
		if err == nil {
			err = verb.do(u.client, r.Context(), id, reason)
		}
		if err == nil {
			done++
		} else if first == nil {
			first = err
		}
		if scheduler.Unavailable(err) || r.Context().Err() != nil {
			break
		}
	}
	if len(ids) == 1 && first != nil {
		return u.sorry(r.Context(), first), nil
	}
	said := fmt.Sprintf("%s %s.", plural(done, "task"), verb.past)
	if first != nil {
		said += fmt.Sprintf(" %s not: %s", number(int64(len(ids)-done)), u.sorry(r.Context(), first))
	}
	return said, nil
}

func plural(n int, one string) string { return words["plural"].(func(int, string) string)(n, one) }

// sorry says an error as a sentence.
func (u *UI) sorry(ctx context.Context, err error) string {
	if errors.Is(err, scheduler.ErrNotFound) {
		return "There is no such task any more."
	}
	if u.config.Refusal == nil {
		return err.Error()
	}
	_, _, detail := u.config.Refusal(ctx, err)
	return detail
}

func (u *UI) actQueue(r *http.Request) (string, error) {
	queue := scheduler.Queue(r.PostForm.Get("queue"))
	switch r.PostForm.Get("do") {
	case "pause":
		_, err := u.client.PauseQueue(r.Context(), queue)
		return fmt.Sprintf("Queue %s is paused; what runs goes on.", queue), err
	case "resume":
		_, err := u.client.ResumeQueue(r.Context(), queue)
		return fmt.Sprintf("Queue %s goes on.", queue), err
	}
	return "", errBadForm
}

func (u *UI) actWorker(r *http.Request) (string, error) {
	id, err := scheduler.ParseWorkerID(r.PostForm.Get("id"))
	if err != nil {
		return "", err
	}
	said, ok := map[string]string{"quiet": "The worker finishes what it runs and takes nothing more.", "stop": "The worker finishes what it runs and ends.",
		"run": "The worker works again."}[r.PostForm.Get("do")]
	if !ok {
		return "", errBadForm
	}
	err = u.client.Command(r.Context(), id, scheduler.Command(r.PostForm.Get("do")))
	if errors.Is(err, scheduler.ErrNotFound) {
		return "That worker has gone, or was told to stop already.", nil
	}
	return said, err
}
