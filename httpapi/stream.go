package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/pgscheduler/scheduler/scheduler"
)

// SubmitFault is what a line of the answer to lines is when it is no Submitted.
type SubmitFault struct {
	Error Problem `json:"error" doc:"Why the task of this line was not stored. Pointers begin at the line's object."`
	Ended bool    `json:"ended" doc:"This is the last line: no task from here on has an answer."`
}

const lingering = 2 * time.Second // with a client that sends on when its answer has ended

// stream answers lines of tasks: chunk by chunk, so that neither they nor the answer are ever held as a whole. Over HTTP/1.0 the answer
// is: nobody there reads one while he sends, and nginx, which speaks it by default, stops sending when one begins.
type stream struct {
	*server
	w     http.ResponseWriter
	r     *http.Request
	lines *lines
	out   bytes.Buffer
	begun bool // something was sent
	whole bool // nothing is sent before the body has ended
}

// streamed is the step that takes batches of lines out of huma's way, but for a query, which it refuses.
func (s *server) streamed(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != mediaNDJSON || hasQuery(r) {
		next(ctx)
		return
	}
	problem := checkType(r, []string{mediaNDJSON})
	if problem == nil && r.Header.Get("Idempotency-Key") != "" {
		problem = errNoBatchKey()
	}
	if problem != nil {
		unread(problem).write(w, r)
		return
	}
	_ = http.NewResponseController(w).EnableFullDuplex() // beyond HTTP/1 it is a matter of course
	st := &stream{server: s, w: w, r: r, lines: s.readLines(w, r), whole: !r.ProtoAtLeast(1, 1)}
	var linger time.Duration
	defer func() { st.lines.stop(linger) }() // also when run panics
	linger = st.run()
}

// run answers until there are no more lines, or none can be answered, and returns how long to bear with a client that sends on.
func (s *stream) run() time.Duration {
	for more := true; more; {
		var list [][]byte
		list, more = s.lines.chunk()
		last := s.answer(list)
		switch {
		case last == nil && !more:
			last = s.reason()
		case last == nil && s.whole && s.out.Len() > s.mostHeld:
			last = newProblem(CodePayloadTooLarge, "over HTTP/1.0 no more lines are answered in one request; send those without an answer in another")
		case last == nil && s.whole:
			continue
		}
		if last != nil {
			s.end(last)
			return lingering
		}
		if s.flush() != nil {
			return 0
		}
	}
	return 0
}

// reason returns why there are no more lines; nil: they were read to their end.
func (s *stream) reason() *Problem {
	switch {
	case s.lines.failed != nil:
		return s.unreadable(s.lines.failed)
	case !s.begun && s.out.Len() == 0:
		return wrongCount()
	}
	return nil
}

// answer stores a chunk and writes a line for each of its lines, or returns why there is no answer to a line and to those
// behind it: nothing of the chunk could be stored, for no fault of its own.
func (s *stream) answer(list [][]byte) (last *Problem) {
	answers := s.store(list)
	stored := slices.ContainsFunc(answers, func(a lineAnswer) bool { return a.err == nil })
	for _, a := range answers {
		if a.err == nil {
			line := NewSubmitted(a.task)
			line.Watch = s.watchLink(a.task.ID, a.wish)
			s.write(line)
			continue
		}
		problem := problemOf(s.r.Context(), a.err)
		if problem.Status >= http.StatusInternalServerError {
			if problem = s.problem(s.r.Context(), a.err); !stored {
				return problem
			}
		}
		problem.RequestID = requestID(s.r.Context())
		s.write(SubmitFault{Error: *problem})
	}
	return nil
}

// write puts a line of the answer behind the others.
func (s *stream) write(line any) { _ = huma.DefaultJSONFormat.Marshal(&s.out, line) } // which never fails for what we send

// flushPart is how many bytes a client is given the time for to take them: an answer that was held may have many.
const flushPart = 64 << 10

// flush sends what was written. A client that takes nothing for as long as it may take to send a body is gone.
func (s *stream) flush() error {
	if s.out.Len() == 0 {
		return nil
	}
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", mediaNDJSON)
		s.w.Header().Set("Connection", "close") // with its deadlines, and what may be unread
		if s.whole {
			s.w.Header().Set("Content-Length", strconv.Itoa(s.out.Len()))
		}
		s.w.WriteHeader(http.StatusAccepted)
	}
	for s.out.Len() > 0 {
		_ = s.lines.control.SetWriteDeadline(time.Now().Add(s.bodyWait))
		if _, err := s.w.Write(s.out.Next(flushPart)); err != nil {
			return err
		}
	}
	return s.lines.control.Flush()
}

// end sends the last line, or nothing but the problem when nothing was sent before.
func (s *stream) end(last *Problem) {
	if !s.begun && s.out.Len() == 0 {
		unread(last).write(s.w, s.r)
		_ = s.lines.control.Flush() // the client may be gone
		return
	}
	last.RequestID = requestID(s.r.Context())
	s.write(SubmitFault{Error: *last, Ended: true})
	_ = s.flush()
}

type lineAnswer struct {
	task scheduler.Submitted
	wish watchWish
	err  error
}

// store stores the tasks of lines, all that it can.
func (s *stream) store(list [][]byte) []lineAnswer {
	answers := make([]lineAnswer, len(list))
	tasks, at := make([]scheduler.NewTask, 0, len(list)), make([]int, 0, len(list))
	for i, line := range list {
		task, wish, err := s.lineTask(line)
		if err != nil {
			answers[i].err = err
			continue
		}
		answers[i].wish = wish
		tasks, at = append(tasks, task), append(at, i)
	}
	for i, a := range s.storeAll(context.WithoutCancel(s.r.Context()), tasks) { // what is begun is done, also for a client that is gone
		answers[at[i]].task, answers[at[i]].err = a.task, a.err
	}
	return answers
}

func (s *server) lineTask(line []byte) (scheduler.NewTask, watchWish, error) {
	if len(line) > maxBody {
		return scheduler.NewTask{}, watchWish{}, newProblem(CodePayloadTooLarge, fmt.Sprintf("the line is larger than %d bytes", maxBody))
	}
	task, wish, faults, err := s.newTask(line, "")
	if err == nil && faults != nil {
		err = invalid(faults...)
	}
	return task, wish, err
}

// storeAll stores tasks in one transaction. When that is refused because of some, each goes by itself; and so when it may
// be stored or not, if each has a key by which it is found again.
func (s *server) storeAll(ctx context.Context, tasks []scheduler.NewTask) []lineAnswer {
	answers := make([]lineAnswer, len(tasks))
	limited, cancel := s.limited(ctx, "")
	defer cancel()
	list, err := s.client.SubmitMany(limited, tasks)
	err = late(limited, err)
	unkeyed := func(t scheduler.NewTask) bool { return t.IdempotencyKey == "" }
	if err != nil && (!scheduler.Unavailable(err) || !slices.ContainsFunc(tasks, unkeyed)) {
		s.storeEach(ctx, tasks, answers)
		return answers
	}
	for i := range answers {
		if answers[i].err = err; err == nil {
			answers[i].task = list[i]
		}
	}
	return answers
}

// storeEach submits each task by itself; they travel together all the same. Of those that share a key the first goes first.
func (s *server) storeEach(ctx context.Context, tasks []scheduler.NewTask, answers []lineAnswer) {
	submit := func(i int) {
		limited, cancel := s.limited(ctx, "")
		defer cancel()
		task, err := s.client.Submit(limited, tasks[i])
		answers[i] = lineAnswer{task: task, err: late(limited, err)}
	}
	type key struct {
		queue scheduler.Queue
		field byte
		text  string
	}
	seen := map[key]bool{}
	var first sync.WaitGroup
	var later []int
	for i, task := range tasks {
		unique, idempotency := key{task.Queue, 'u', task.UniqueKey}, key{task.Queue, 'i', task.IdempotencyKey}
		if task.UniqueKey != "" && seen[unique] || task.IdempotencyKey != "" && seen[idempotency] {
			later = append(later, i)
			continue
		}
		seen[unique], seen[idempotency] = true, true
		first.Go(func() { submit(i) }) // ends with its answer; Wait waits for it
	}
	first.Wait()
	for _, i := range later {
		submit(i)
	}
}

// late makes an error the problem of too little time, if that is what it comes from.
func late(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return errors.Join(problemOf(ctx, ctx.Err()), err)
}

// describeLines adds to the operation that the answer to lines is lines.
func describeLines(api huma.API) {
	registry := api.OpenAPI().Components.Schemas
	var either huma.Schema
	for _, line := range []any{Submitted{}, SubmitFault{}} {
		either.AnyOf = append(either.AnyOf, registry.Schema(reflect.TypeOf(line), true, ""))
	}
	accepted := api.OpenAPI().Paths[pathBatch].Post.Responses["202"]
	accepted.Content[mediaNDJSON] = &huma.MediaType{Schema: &either}
}
