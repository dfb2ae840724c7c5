//go:build unix

package example

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// FreePort is a port of 127.0.0.1 that nobody listens on, and that is the test's until it ends: it lies below those that systems
// hand out by themselves, and what the test holds meanwhile, its port of UDP, keeps the FreePort of all other processes from it.
func FreePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(12_000 + rand.N(18_000))
		claim, err := net.ListenPacket("udp4", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		listener, err := net.Listen("tcp4", "127.0.0.1:"+port)
		if err != nil {
			_ = claim.Close()
			continue
		}
		_ = listener.Close()
		t.Cleanup(func() { _ = claim.Close() })
		return port
	}
	t.Fatal("there is no free port")
	return ""
}
