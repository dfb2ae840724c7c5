package door

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/pgscheduler/scheduler/httpapi"
)

var (
	// ErrUnauthorized is matched when the server wants a token, or another one.
	ErrUnauthorized = errors.New("not authorized")

	// ErrUnreachable is matched when the server can't be reached, is not a scheduler, or can't serve now.
	ErrUnreachable = errors.New("cannot reach the server")
)

// Door is what commands can do with tasks and all that is around them. Ids and names are as typed: a malformed id is an
// error that matches scheduler.ErrInvalid, an unknown one scheduler.ErrNotFound. Safe for concurrent use until Close.
type Door interface {
	// Submit stores a task, or finds the one that holds its key, and returns its id.
	Submit(ctx context.Context, request httpapi.SubmitRequest) (id string, err error)
	Task(ctx context.Context, id string) (httpapi.Task, error)
	// Await returns the task once it is final or ctx has ended, as last read and with a nil error then.
	Await(ctx context.Context, id string) (httpapi.Task, error)
	// Follow gives the task as it is, and what is new of it until it is done, with its log lines if these are wanted. It ends
	// without an error when ctx does. It sits out an Outage.
	Follow(ctx context.Context, id string, from From) iter.Seq2[Event, error]
	Tasks(ctx context.Context, filter Filter) (httpapi.Page[httpapi.Task], error)
	// Cancel returns the task as it is then: cancelled, or running and asked to stop.
	Cancel(ctx context.Context, id, reason string) (httpapi.Task, error)
	Retry(ctx context.Context, id string) (httpapi.Task, error)
	// RunNow makes a scheduled task ready.
	RunNow(ctx context.Context, id string) (httpapi.Task, error)
	// Edit changes fields of a task by their names on the wire; nil: back to the default.
	Edit(ctx context.Context, id string, fields map[string]any) (httpapi.Task, error)
	Delete(ctx context.Context, id string) error
	// BeginBulk does something to all tasks that a filter matches; it returns at once.
	BeginBulk(ctx context.Context, request httpapi.BulkRequest) (httpapi.Bulk, error)
	// Bulk returns how far it is; through the database it goes on with it meanwhile, for there may be nobody else.
	Bulk(ctx context.Context, id string) (httpapi.Bulk, error)
	Dead(ctx context.Context, queue, kind string) (httpapi.DeadGroups, error)
	// Audit returns what was done to a task, or with "" to anything, newest first.
	Audit(ctx context.Context, task string, limit int) ([]httpapi.Audit, error)
	Attempts(ctx context.Context, id string) ([]httpapi.Attempt, error)
	// Logs returns up to limit lines with ids greater than after.
	Logs(ctx context.Context, id string, after int64, limit int) ([]httpapi.LogLine, error)
	Why(ctx context.Context, id string) ([]httpapi.Reason, error)

	Queues(ctx context.Context) ([]httpapi.Queue, error)
	PauseQueue(ctx context.Context, name string) (httpapi.QueuePause, error)
	ResumeQueue(ctx context.Context, name string) (httpapi.QueuePause, error)

	// Minutes returns how attempts ended in each minute of the last hour in which any did.
	Minutes(ctx context.Context) ([]httpapi.Stat, error)

	Workers(ctx context.Context) ([]httpapi.Worker, error)
	// Command tells a worker to be quiet, stop or run.
	Command(ctx context.Context, id, command string) (httpapi.WorkerCommand, error)

	Schedules(ctx context.Context) ([]httpapi.Schedule, error)
	SetSchedule(ctx context.Context, name string, request httpapi.ScheduleRequest) (httpapi.Schedule, error)
	// Next returns the next count ticks of a schedule.
	Next(ctx context.Context, name string, count int) ([]time.Time, error)
	// Trigger makes a task of a schedule now.
	Trigger(ctx context.Context, name string) (httpapi.Task, error)
	PauseSchedule(ctx context.Context, name string) (httpapi.Schedule, error)
	ResumeSchedule(ctx context.Context, name string) (httpapi.Schedule, error)
	DeleteSchedule(ctx context.Context, name string) error

	// Publish makes a task of a message for each subscription that matches.
	Publish(ctx context.Context, topic string, request httpapi.PublishRequest) (httpapi.Published, error)
	// Subscriptions returns all, or with a topic those that match it.
	Subscriptions(ctx context.Context, topic string) ([]httpapi.Subscription, error)
	SetSubscription(ctx context.Context, name string, request httpapi.SubscriptionRequest) (httpapi.Subscription, error)
	DeleteSubscription(ctx context.Context, name string) error
	// FollowTopics gives the messages of all topics that match, after a cursor, or with "" from now on. It ends without an error
	// when ctx does. It sits out an Outage.
	FollowTopics(ctx context.Context, pattern, after string) iter.Seq2[TopicEvent, error]
	Endpoints(ctx context.Context) ([]httpapi.Endpoint, error)
	SetEndpoint(ctx context.Context, name string, request httpapi.EndpointRequest) (httpapi.Endpoint, error)
	PauseEndpoint(ctx context.Context, name string) (httpapi.Endpoint, error)
	ResumeEndpoint(ctx context.Context, name string) (httpapi.Endpoint, error)
	DeleteEndpoint(ctx context.Context, name string) error

	Close()
}

// Filter chooses tasks. Zero fields choose all.
type Filter struct {
	Queue, Kind, State string
	Tag, Text          string
	ErrorGroup         string
	Since, Until       time.Time // made at or after, and before; zero: at any time
	Limit              int       // of a page; 0: 50
	Cursor             string    // of the page before; "": the first page
}
