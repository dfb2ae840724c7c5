//go:build unix

package conformance

import "testing"

// TestLeases plays a worker, request by request, against the server.
func TestLeases(t *testing.T) {
	t.Parallel()
	cases := read(t, "leases.json")
	s := newServer(t)
	t.Run("all", func(t *testing.T) { // so that the server lives until all are done
		for _, one := range cases {
			t.Run(one.Name, func(t *testing.T) {
				t.Parallel()
				newPlay(t, s).run(one)
			})
		}
	})
}
