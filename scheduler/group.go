package scheduler

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	groupMost    = 1000                           // calls in one statement
	groupBytes   = 8 << 20                        // what they carry, unless one alone carries more
	groupFlights = 2                              // statements under way at once
	blockedMost  = 5                              // calls that wait in vain one after the other
	groupTimeout = statementTimeout + time.Second // of one run, in case the database neither answers nor hangs up
)

// group lets calls that arrive together travel in one statement and one commit. Nobody waits for a window to fill: a call
// that finds room goes at once, and those that arrive while enough are under way form the next run. Each caller gets its
// own answer, after the commit. A caller whose context ends is answered at once; what it asked for may happen all the same, if
// it is on its way by then.
type group[In, Out any] struct {
	// run answers each call, or fails as a whole with nothing done. A call that is answered that it was blocked is run again, alone.
	run func(ctx context.Context, in []In) ([]answer[Out], error)
	// size is how many bytes a call carries.
	size func(In) int
	// lock names what a call may have to wait for; calls that may wait for the same are answered together then. nil, "": itself.
	lock func(In) string
	// most is how many calls go in one statement; 0: groupMost.
	most int
	// sizes counts how many calls went together; nil: they are not counted.
	sizes *Histogram

	mu      sync.Mutex
	waiting []call[In, Out]
	spare   []call[In, Out] // room for the next that wait
	flying  int
	closed  bool
	flights sync.WaitGroup
}

type answer[Out any] struct {
	out Out
	err error
}

type call[In, Out any] struct {
	in    In
	done  func(answer[Out])
	ended <-chan struct{} // nobody waits for the answer any more; nil: somebody always does
}

// gone reports whether nobody waits for the answer.
func (c call[In, Out]) gone() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// do waits for the answer.
func (g *group[In, Out]) do(ctx context.Context, in In) (Out, error) {
	answered := make(chan answer[Out], 1)
	g.add(call[In, Out]{in, func(a answer[Out]) { answered <- a }, ctx.Done()})
	select {
	case a := <-answered:
		return a.out, a.err
	case <-ctx.Done():
		var none Out
		return none, ctx.Err()
	}
}

// later does not wait: done is called with the answer, soon, from another goroutine, and must not block.
func (g *group[In, Out]) later(in In, done func(answer[Out])) {
	g.add(call[In, Out]{in, done, nil})
}

// together runs the calls in one statement and one commit, now, and waits for their answers. Only calls that are refused for what
// they hold, or that wait in vain for what somebody has locked, are run alone, and fail alone.
func (g *group[In, Out]) together(in []In) []answer[Out] {
	answers := make([]answer[Out], len(in))
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		for i := range answers {
			answers[i].err = errClosed
		}
		return answers
	}
	g.flights.Add(1) // close waits for it
	g.mu.Unlock()
	defer g.flights.Done()
	var open sync.WaitGroup
	calls := make([]call[In, Out], len(in))
	for i := range in {
		open.Add(1)
		calls[i] = call[In, Out]{in: in[i], done: func(a answer[Out]) { answers[i] = a; open.Done() }}
	}
	g.serve(calls)
	open.Wait()
	return answers
}

func (g *group[In, Out]) add(c call[In, Out]) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		c.done(answer[Out]{err: errClosed})
		return
	}
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, c)
	if g.flying < groupFlights {
		g.flying++
		g.flights.Go(g.fly) // ends when nobody waits; close waits for it
	}
}

func (g *group[In, Out]) fly() {
	for {
		g.mu.Lock()
		n := g.next()
		calls := g.waiting[:n:n]
		switch {
		case n == 0:
			g.waiting, g.spare = nil, nil
			g.flying--
		case n == len(g.waiting):
			g.waiting, g.spare = g.spare, nil
		default:
			g.waiting = g.waiting[n:]
		}
		g.mu.Unlock()
		if n == 0 {
			return
		}
		g.serve(calls)
		clear(calls)
		g.mu.Lock()
		g.spare = calls[:0]
		g.mu.Unlock()
	}
}

// next is how many of those that wait go together. Those whose callers are gone go nowhere. g.mu is held.
func (g *group[In, Out]) next() int {
	g.waiting = slices.DeleteFunc(g.waiting, call[In, Out].gone)
	n, bytes := 0, 0
	for n < min(len(g.waiting), cmp.Or(g.most, groupMost)) {
		bytes += g.size(g.waiting[n].in)
		if n > 0 && bytes > groupBytes {
			break
		}
		n++
	}
	return n
}

// serve runs the calls together. When the statement is refused for what one of them holds, or waits in vain for what somebody
// has locked, each is run alone, beside the groups that follow, so that it fails alone; when the database is not to be had,
// all fail.
func (g *group[In, Out]) serve(calls []call[In, Out]) {
	answers, err := g.attempt(calls)
	switch {
	case err == nil:
		var suspects []call[In, Out]
		for i, c := range calls {
			if len(calls) > 1 && blocked(answers[i].err) {
				suspects = append(suspects, c)
				continue
			}
			c.done(answers[i])
		}
		g.suspect(suspects)
	case Unavailable(err) && !blocked(err), len(calls) == 1 && !blocked(err):
		for _, c := range calls {
			c.done(answer[Out]{err: err})
		}
	default:
		g.suspect(slices.Clone(calls))
	}
}

// suspect has each call run alone, beside the groups that follow.
func (g *group[In, Out]) suspect(calls []call[In, Out]) {
	if len(calls) > 0 {
		g.flights.Go(func() { g.serveEach(calls) }) // ends when each is answered; close waits for it
	}
}

// serveEach runs each call alone. Of those that may wait for the same, the first waits for all; when several in a row wait in
// vain, it is no single row that is locked, and the rest is not tried.
func (g *group[In, Out]) serveEach(calls []call[In, Out]) {
	locked := map[string]error{}
	var hopeless error
	for inRow, i := 0, 0; i < len(calls); i++ {
		c, lock := calls[i], ""
		if g.lock != nil {
			lock = g.lock(calls[i].in)
		}
		switch known := locked[lock]; {
		case c.gone():
			continue
		case hopeless != nil || known != nil:
			c.done(answer[Out]{err: cmp.Or(hopeless, known)})
			continue
		}
		alone, err := g.attempt(calls[i : i+1])
		if err != nil {
			alone = []answer[Out]{{err: err}}
		}
		if inRow++; !blocked(err) {
			inRow = 0
		} else if lock != "" {
			locked[lock] = err
		}
		if inRow == blockedMost {
			hopeless = err
		}
		c.done(alone[0])
	}
}

func (g *group[In, Out]) attempt(calls []call[In, Out]) ([]answer[Out], error) {
	if g.sizes != nil {
		g.sizes.Observe(int64(len(calls)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), groupTimeout) // the run serves many callers, none of them owns it
	defer cancel()
	in := make([]In, len(calls))
	for i, c := range calls {
		in[i] = c.in
	}
	return g.run(ctx, in)
}

// close refuses further calls and returns when nothing is under way.
func (g *group[In, Out]) close() {
	g.mu.Lock()
	g.closed = true // no flight starts from here on, but for those of calls that are under way
	g.mu.Unlock()
	g.flights.Wait()
}

// errClosed is what pgx says of its pools.
var errClosed = errors.New("closed pool: the client is closed")
