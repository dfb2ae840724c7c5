package httpapi

import (
	"strings"
	"testing"
	"time"
)

// A failure whose code is too long to be kept, as the class of an exception may be, is the failure that it says it is: it is no
// fault of the request, over which a worker would give the task up for good. So it is with a reason, and with a time in many years.
func TestLongWordsAndTimesOfALeaseAreCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	h := r.hand()
	long := strings.Repeat("Namespace", 300)
	for _, c := range []struct{ verb, body string }{
		{"fail", `{"error":{"code":"` + long + `","message":"again"},"retry_after_ms":9000000000000000}`},
		{"release", `{"delay_ms":9000000000000000,"reason":"` + long + `"}`},
	} {
		task := r.submit(`{"kind":"k"}`)
		its := h.one()
		batch := `{"items":[{"lease":"` + its.Lease + `","op":"` + c.verb + `",` + c.body[1:] + `]}`
		if got := read[Settled](h.say(its.Lease, c.verb, c.body).want(200)); got.State != "scheduled" {
			t.Errorf("%s: %s", c.verb, got.State)
		}
		if got := read[LeaseResults](h.post("/v1/leases/batch", batch).want(200)).Results[0]; got.Status != 200 || got.State != "scheduled" { // said again
			t.Errorf("%s in a batch: %+v", c.verb, got)
		}
		if in := time.Until(read[Task](r.get(task.Links.Self).want(200)).RunAt); in < 364*24*time.Hour || in > 367*24*time.Hour {
			t.Errorf("%s: again in %s", c.verb, in)
		}
		attempts := read[Page[Attempt]](r.get(task.Links.Attempts).want(200)).Items
		if len(attempts) != 1 || attempts[0].Error == nil {
			t.Fatalf("%s: %+v", c.verb, attempts)
		}
		e := attempts[0].Error
		if kept := e.Code + e.Message; len(kept) > 1100 || !strings.Contains(kept, "Namespace") {
			t.Errorf("%s: kept %d bytes: %.100s", c.verb, len(kept), kept)
		}
	}
}
