package scheduler

// State is where a task is in its life.
type State string

// The states, spelled as in the database, the HTTP API and the command line.
const (
	Blocked   State = "blocked"   // waits for other tasks
	Scheduled State = "scheduled" // not due yet, or waits to retry
	Ready     State = "ready"     // may be leased now
	Running   State = "running"   // leased by a live worker
	Completed State = "completed" // done, result stored; final
	Failed    State = "failed"    // gave up: the dead letters; final, can be retried
	Cancelled State = "cancelled" // stopped by someone, or expired; final, can be retried
)

// States lists all states in the order of a task's life.
var States = []State{Blocked, Scheduled, Ready, Running, Completed, Failed, Cancelled}

// Done reports whether the state is final.
func (s State) Done() bool { return s == Completed || s == Failed || s == Cancelled }

// Valid reports whether s is one of States.
func (s State) Valid() bool {
	for _, known := range States {
		if s == known {
			return true
		}
	}
	return false
}

// Edge is one way a task's state may change, and the verb that does it.
type Edge struct {
	From, To State
	Verb     string
}

// Edges is the life of a task: the database refuses every change of state that is not listed (a row may be rewritten
// without a change of state). The function scheduler.may_become holds the same pairs; a test compares them.
var Edges = []Edge{
	{Blocked, Ready, "unblock"},
	{Blocked, Scheduled, "unblock"},
	{Blocked, Cancelled, "cancel"},
	{Scheduled, Ready, "promote"},
	{Scheduled, Cancelled, "cancel"},
	{Ready, Scheduled, "postpone"},
	{Ready, Running, "lease"},
	{Ready, Cancelled, "cancel"},
	{Running, Completed, "complete"},
	{Running, Failed, "fail"},
	{Running, Scheduled, "fail"},
	{Running, Ready, "release"},
	{Running, Cancelled, "cancel"},
	{Failed, Ready, "retry"},
	{Cancelled, Ready, "retry"},
}
