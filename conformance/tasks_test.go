//go:build unix

package conformance

import (
	"cmp"
	"slices"
	"testing"

	"github.com/pgscheduler/scheduler/internal/proc"
)

// TestTasks runs the cases of tasks.json with the worker of each client through both doors.
func TestTasks(t *testing.T) {
	t.Parallel()
	cases := read(t, "tasks.json")
	shared := newServer(t)
	t.Run("all", func(t *testing.T) { // so that the server lives until all are done
		for _, door := range []string{doorLease, doorChild} {
			for _, c := range clients(t) {
				if c.leases && door != doorLease {
					continue
				}
				t.Run(door+"/"+c.name, func(t *testing.T) {
					t.Parallel()
					proc.Need(t, c.argv[0])
					for _, one := range cases {
						if len(one.Doors) > 0 && !slices.Contains(one.Doors, door) {
							continue
						}
						t.Run(one.Name, func(t *testing.T) {
							t.Parallel()
							playTasks(t, shared, c, door, one)
						})
					}
				})
			}
		}
	})
}

func playTasks(t *testing.T, s *server, c client, door string, one testCase) {
	if slices.ContainsFunc(one.Steps, func(s step) bool { return s.Server != "" }) {
		s = newServer(t)
	}
	p := newPlay(t, s)
	p.client, p.door, p.ttl = c, door, cmp.Or(one.TTL, 15_000)
	if door == doorLease {
		p.proxy = newProxy(t, s)
	}
	n := 1
	if one.Workers != nil {
		n = *one.Workers
	}
	for range n {
		p.work()
	}
	p.run(one)
}
