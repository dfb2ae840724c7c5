package ui

import (
	"strings"
	"testing"
	"time"
)

// TestSessions: a cookie holds for its time, with its name and its key, and not when a byte of it is changed.
func TestSessions(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	s := newSessions("a token")
	for _, name := range []string{"", "Ada", "Müller, Jörg", `"<b>";`} {
		value := s.sign(name, now.Add(sessionLife))
		if got, ok := s.verify(value, now); !ok || got != name {
			t.Errorf("%q: %q, %v", name, got, ok)
		}
		if _, ok := s.verify(value, now.Add(sessionLife)); ok {
			t.Errorf("%q outlives its end", name)
		}
		if _, ok := newSessions("another token").verify(value, now); ok {
			t.Errorf("%q is known under another token", name)
		}
		for i := range value {
			changed := value[:i] + string(value[i]^1) + value[i+1:]
			if _, ok := s.verify(changed, now); ok {
				t.Errorf("%q is known as %q", value, changed)
			}
		}
	}
	later := s.sign("Ada", now)
	mac := later[strings.LastIndexByte(later, '.'):]
	for _, forged := range []string{"", ".", "..", "QWRh", "QWRh.9999999999", "QWRh.9999999999.", "QWRh.9999999999" + mac} {
		if _, ok := s.verify(forged, now); ok {
			t.Errorf("%q is known", forged)
		}
	}
}
