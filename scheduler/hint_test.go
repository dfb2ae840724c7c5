package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sent records what a hinter sends.
type sent struct {
	mu   sync.Mutex
	list []string
	hold chan struct{} // each send waits for it to be closed; nil: none does
}

func (s *sent) send(channel string, payloads []string) {
	slices.Sort(payloads)
	s.mu.Lock()
	s.list = append(s.list, fmt.Sprint(channel, payloads))
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
}

// The first hint goes at once; those that come while it is under way go together, each queue once, and of due times the soonest.
func TestHintsTravelTogether(t *testing.T) {
	t.Parallel()
	s := &sent{hold: make(chan struct{})}
	h := hinter{send: s.send}
	h.hint("a", 0)
	for began := time.Now(); ; {
		s.mu.Lock()
		n := len(s.list)
		s.mu.Unlock()
		if n == 1 {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("the first hint was not sent")
		}
	}
	for i := range 1000 {
		h.hint(Queue(fmt.Sprint("q", i%3)), 0)
		h.hintDue(time.Duration(999-i) * time.Millisecond)
	}
	h.hintDue(98 * time.Millisecond)
	close(s.hold)
	h.flights.Wait()
	want := []string{"scheduler_ready[a]", "scheduler_ready[q0 q1 q2]", "scheduler_due[1]"}
	if diff := cmp.Diff(want, s.list); diff != "" {
		t.Error(diff)
	}
	h.hint("b", 0)
	h.hintDue(4 * time.Millisecond)
	h.flights.Wait()
	if diff := cmp.Diff([]string{"scheduler_ready[b]", "scheduler_due[5]"}, s.list[3:]); diff != "" {
		t.Errorf("after a pause:\n%s", diff)
	}
}

// However many hints come from however many hands, the last of each queue is followed by a notification.
func TestNoHintIsForgotten(t *testing.T) {
	t.Parallel()
	s := &sent{}
	h := hinter{send: s.send}
	var all sync.WaitGroup
	began := time.Now()
	for i := range 8 {
		all.Go(func() {
			for range 2000 {
				h.hint(Queue(fmt.Sprint("q", i)), 0)
			}
			h.hint(Queue(fmt.Sprint("last", i)), 0)
		})
	}
	all.Wait()
	h.flights.Wait()
	text := fmt.Sprint(s.list)
	for i := range 8 {
		if !strings.Contains(text, fmt.Sprint("last", i)) {
			t.Errorf("last%d was not sent", i)
		}
	}
	if took := time.Since(began); len(s.list) > int(took/hintEvery)+2 {
		t.Errorf("%d notifications in %s", len(s.list), took)
	}
}
