package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// Verb is what a remote worker does with a lease.
type Verb string

// The verbs.
const (
	VerbHeartbeat Verb = "heartbeat" // it works on it
	VerbComplete  Verb = "complete"
	VerbFail      Verb = "fail"
	VerbRelease   Verb = "release" // it hands it back, or wants to run it later
)

// Settling is what a remote worker says of one lease. Progress, Lines and Checkpoint are written before the attempt is ended.
type Settling struct {
	Lease
	Verb       Verb
	Progress   *Progress       // nil: none
	Lines      []Line          // whose Lease need not be set
	Checkpoint json.RawMessage // as of SaveCheckpoint; nil: as it was, null: forget it
	Result     json.RawMessage // of complete; nil: none
	Failure    Failure         // of fail
	Delay      time.Duration   // of release; 0: ready at once
	Reason     string          // of release, for people
}

// Settlement is the answer.
type Settlement struct {
	State     State     // what the task became; of heartbeat: Running
	Command   Command   // of heartbeat: what the worker is asked to do
	ExpiresAt time.Time // of heartbeat: when the worker is dead unless it is heard of
	Cancelled bool      // of heartbeat: end it soon
}

func (s Settling) size() int {
	n := len(s.Result) + len(s.Checkpoint) + len(s.Failure.Message) + len(s.Failure.Stack)
	for _, line := range s.Lines {
		n += len(line.Message)
	}
	if s.Progress != nil {
		n += len(s.Progress.Data)
	}
	return n
}

// Settle carries out one verb. Those that arrive together share a round trip and a commit. It returns ErrLeaseLost when the
// attempt is over by anybody else's doing; what the same worker said before, and says again because the answer was lost, is
// answered as it was.
func (c *Client) Settle(ctx context.Context, s Settling) (Settlement, error) {
	beats, err := c.beats(ctx, s)
	if err != nil {
		return Settlement{}, err
	}
	out, err := c.settlings.do(ctx, s)
	return s.answer(out, err, beats)
}

// SettleResult is the answer to one of several, with an error of its own.
type SettleResult struct {
	Settlement
	Err error
}

// SettleMany carries out several verbs in one transaction, and answers each as Settle does. What the database refuses, or has locked,
// spoils only its own. Of several that end the same attempt the first counts.
func (c *Client) SettleMany(ctx context.Context, list []Settling) ([]SettleResult, error) {
	beats, err := c.beats(ctx, list...)
	if err != nil {
		return nil, err
	}
	answers := make([]SettleResult, len(list))
	for i, a := range c.settlings.together(list) {
		answers[i].Settlement, answers[i].Err = list[i].answer(a.out, a.err, beats)
	}
	return answers, nil
}

// beats is what heartbeats bring back.
type beats struct {
	workers  map[WorkerID]remoteState
	accepted map[Lease]acceptance // which need no worker
}

// beats renews the workers of leases, if they are remote. Another one, as one that pushes, renews itself: whoever works under one of its
// leases must not keep the others from being given back.
func (c *Client) beats(ctx context.Context, list ...Settling) (found beats, err error) {
	var others []Lease
	for _, s := range list {
		if s.Verb != VerbHeartbeat {
			continue
		}
		state, known := found.workers[s.Worker]
		if !known {
			began := time.Now()
			if state, err = c.renewals.do(ctx, renewal{id: s.Worker}); err != nil {
				return found, err
			}
			c.dispatch.noteRenewed(s.Worker, state, began)
			if found.workers == nil {
				found.workers = map[WorkerID]remoteState{}
			}
			found.workers[s.Worker] = state
		}
		if !state.Remote {
			others = append(others, s.Lease)
		}
	}
	found.accepted, err = c.acceptances(ctx, others)
	return found, err
}

// answer puts together what the statements and the heartbeat have brought.
func (s Settling) answer(out Settlement, err error, beats beats) (Settlement, error) {
	if err != nil || s.Verb != VerbHeartbeat {
		return out, err
	}
	if its, ok := beats.accepted[s.Lease]; ok {
		return Settlement{State: Running, Command: CommandRun, ExpiresAt: its.expiresAt, Cancelled: its.cancelled}, nil
	}
	beat := beats.workers[s.Worker]
	if beat.ID.IsZero() {
		return Settlement{}, ErrLeaseLost
	}
	return Settlement{State: Running, Command: beat.Command, ExpiresAt: beat.ExpiresAt, Cancelled: beat.cancels(s.Lease)}, nil
}

// settleMany carries out verbs in one round trip and one commit.
func (c *Client) settleMany(ctx context.Context, in []Settling) ([]answer[Settlement], error) {
	answers := make([]answer[Settlement], len(in))
	r := newRound(in)
	var batch pgx.Batch
	r.queueNews(&batch)
	beats := r.of(VerbHeartbeat)
	var holds []bool
	if len(beats) > 0 {
		holds = queueHeld(&batch, r.leases(beats))
	}
	done := r.queueEnds(&batch)
	counts := r.queueCounts(&batch)
	if err := c.hot.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	for at, i := range beats {
		if !holds[at] {
			answers[i].err = ErrLeaseLost
		}
	}
	for _, group := range done {
		c.hintEnds(group.ends)
		for at, i := range group.which {
			answers[i] = answer[Settlement]{Settlement{State: group.answers[at].out}, group.answers[at].err}
		}
	}
	c.countEnds(in, answers, counts)
	for _, i := range r.again {
		answers[i].err = ErrLeaseLost
	}
	c.settleAgain(ctx, in, answers)
	c.countLost(in, answers)
	return answers, nil
}

// round is what one round trip carries out.
type round struct {
	in    []Settling
	verbs map[Verb][]int
	again []int // those that end an attempt that another one of the round ends
}

func newRound(in []Settling) *round {
	r := &round{in: in, verbs: map[Verb][]int{}}
	ended := map[Lease]bool{}
	for i, s := range in {
		if s.Verb != VerbHeartbeat && ended[s.Lease] {
			r.again = append(r.again, i)
			continue
		}
		ended[s.Lease] = ended[s.Lease] || s.Verb != VerbHeartbeat
		r.verbs[s.Verb] = append(r.verbs[s.Verb], i)
	}
	return r
}

// of returns the places of a verb.
func (r *round) of(verb Verb) []int { return r.verbs[verb] }

func (r *round) leases(which []int) []Lease {
	list := make([]Lease, len(which))
	for at, i := range which {
		list[at] = r.in[i].Lease
	}
	return list
}

// queueNews queues lines, progress and checkpoints, which are of running attempts: those that are over are passed over.
func (r *round) queueNews(batch *pgx.Batch) {
	var lines []Line
	var reports, saves []int
	for i, s := range r.in {
		for _, line := range s.Lines {
			line.Lease = s.Lease
			lines = append(lines, line)
		}
		if s.Progress != nil {
			reports = append(reports, i)
		}
		if s.Checkpoint != nil {
			saves = append(saves, i)
		}
	}
	for _, lane := range lanes(len(lines), func(i int) *Lease { return &lines[i].Lease }) {
		slices.Sort(lane) // as they came
		batch.Queue(sql.Log, logArgs(pick(lines, lane))...)
	}
	inLanes := func(a, b int) int { return compareLanes(&r.in[a].Lease, &r.in[b].Lease) }
	slices.SortStableFunc(reports, inLanes)
	for _, i := range reports { // one by one, and waiting for rows that somebody has locked: after the end it is too late for a report
		s := Report{r.in[i].Lease, *r.in[i].Progress}
		message, data := s.columns()
		batch.Queue(sql.ReportTx, s.Worker, s.Queue, s.Task, s.Attempt, s.Current, null(s.Total), message, data)
	}
	slices.SortFunc(saves, inLanes)
	for _, i := range saves {
		s := r.in[i]
		batch.Queue(sql.Checkpoint, s.Worker, s.Queue, s.Task, s.Attempt, jsonText(s.Checkpoint))
	}
}

// jsonText is a JSON value as a column holds it; null: none.
func jsonText(raw json.RawMessage) *string {
	if string(raw) == "null" {
		return nil
	}
	return null(string(raw))
}

func pick[T any](list []T, which []int) []T {
	picked := make([]T, len(which))
	for at, i := range which {
		picked[at] = list[i]
	}
	return picked
}

// ended are the attempts that one verb ends.
type ended struct {
	ends
	which []int
}

// queueEnds queues what ends attempts.
func (r *round) queueEnds(batch *pgx.Batch) (done []ended) {
	if which := r.of(VerbComplete); len(which) > 0 {
		list := make([]completion, len(which))
		for at, i := range which {
			list[at] = completion{r.in[i].Lease, jsonText(r.in[i].Result)}
		}
		answers := make([]answer[State], len(which))
		done = append(done, ended{ends{func(i int) *Lease { return &list[i].Lease }, answers, make([]time.Duration, len(which))}, which})
		queueCompletions(batch, list, func(i int, err error) { answers[i] = answer[State]{Completed, err} })
	}
	if which := r.of(VerbFail); len(which) > 0 {
		list := make([]failed, len(which))
		for at, i := range which {
			list[at] = newFailed(r.in[i].Lease, r.in[i].Failure)
		}
		done = append(done, ended{queueEnds(batch, sql.Fail, len(list), func(i int) *Lease { return &list[i].Lease }, failArgs(list)), which})
	}
	var later, back []int
	for _, i := range r.of(VerbRelease) {
		if r.in[i].Delay > 0 {
			later = append(later, i)
		} else {
			back = append(back, i)
		}
	}
	if len(later) > 0 {
		list := make([]snoozed, len(later))
		for at, i := range later {
			list[at] = newSnoozed(r.in[i].Lease, r.in[i].Delay, r.in[i].Reason)
		}
		done = append(done, ended{queueEnds(batch, sql.Snooze, len(list), func(i int) *Lease { return &list[i].Lease }, snoozeArgs(list)), later})
	}
	if len(back) > 0 {
		list, reasons := r.leases(back), make([]string, len(back))
		for at, i := range back {
			reasons[at] = releaseReason(r.in[i].Reason)
		}
		done = append(done, ended{queueEnds(batch, sql.Release, len(list), func(i int) *Lease { return &list[i] }, func(lane []int) []any {
			return []any{pick(reasons, lane)}
		}), back})
	}
	return done
}

func releaseReason(reason string) string {
	if reason = CleanText(reason, 1000); reason != "" {
		return reason
	}
	return "handed back by the worker"
}
