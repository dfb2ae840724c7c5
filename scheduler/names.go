package scheduler

import (
	"bytes"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// TaskID is a UUID of version 7 (RFC 9562): ids sort by time of creation. The zero value names no task.
type TaskID uuid.UUID

// WorkerID is a random UUID, fresh at each start of a worker. The zero value names no worker.
type WorkerID uuid.UUID

// Queue is the name of a lane that workers take from.
type Queue string

// DefaultQueue is where tasks go that name no queue.
const DefaultQueue Queue = "default"

// NewTaskID returns a fresh id. Safe for concurrent use.
func NewTaskID() TaskID { return TaskID(uuid.Must(uuid.NewV7())) }

// NewWorkerID returns a fresh id. Safe for concurrent use.
func NewWorkerID() WorkerID { return WorkerID(uuid.New()) }

// ParseTaskID reads the usual spelling with dashes, in either case. It returns an *InvalidError otherwise.
func ParseTaskID(s string) (TaskID, error) {
	id, err := parseUUID(s)
	return TaskID(id), err
}

// ParseWorkerID reads the usual spelling with dashes, in either case. It returns an *InvalidError otherwise.
func ParseWorkerID(s string) (WorkerID, error) {
	id, err := parseUUID(s)
	return WorkerID(id), err
}

func parseUUID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return uuid.UUID{}, invalid("id", fmt.Sprintf("%q is not a UUID like 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf", Truncate(s, 60)))
	}
	return id, nil
}

func (id TaskID) String() string   { return uuid.UUID(id).String() }
func (id WorkerID) String() string { return uuid.UUID(id).String() }

// compare sorts ids as the database does: by time of creation.
func (id TaskID) compare(other TaskID) int { return bytes.Compare(id[:], other[:]) }

// Time is when the id was made, by the clock of whoever made it, to the millisecond.
func (id TaskID) Time() time.Time {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}

// firstID is the least id that a task of that time can have.
func firstID(t time.Time) (id TaskID) {
	ms := max(0, t.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// IsZero reports whether the id names no task.
func (id TaskID) IsZero() bool { return id == TaskID{} }

// IsZero reports whether the id names no worker.
func (id WorkerID) IsZero() bool { return id == WorkerID{} }

// MarshalText writes the spelling with dashes.
func (id TaskID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// MarshalText writes the spelling with dashes.
func (id WorkerID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText reads what ParseTaskID reads.
func (id *TaskID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseTaskID(string(text))
	return err
}

// UnmarshalText reads what ParseWorkerID reads.
func (id *WorkerID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseWorkerID(string(text))
	return err
}
