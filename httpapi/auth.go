package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/pgscheduler/scheduler/httpapi/ui"
)

// gate lets requests in or not: by token when there is one; without one only by names of this machine, so that a web page
// whose name was rebound to 127.0.0.1 can't use the browser's way in; and never from a page of another origin.
type gate struct {
	token  [sha256.Size]byte        // of the token's SHA-256
	open   bool                     // there is no token
	signed func(*http.Request) bool // whether somebody signed in at the dashboard sent the request; nil: nobody does
	origin *http.CrossOriginProtection
}

func newGate(token string) gate {
	return gate{token: sha256.Sum256([]byte(token)), open: token == "", origin: http.NewCrossOriginProtection()}
}

// refuse returns why the request may not pass; nil: it may.
func (g gate) refuse(r *http.Request) *Problem {
	if header := foreign(r); g.open && header != "" {
		return newProblem(CodeMisdirected, "without a token this server answers only to localhost, not to the host of this request, nor to another machine "+
			"through a proxy; start it with a token to serve other names", Detail{Header: header, Detail: "localhost or a loopback address"})
	}
	if err := g.origin.Check(r); err != nil {
		return newProblem(CodeForbidden, "a page of another origin sent this; send it from a page of this server, or from a program, which sends no Origin ("+err.Error()+")")
	}
	if g.open || r.URL.Path == pathHealth || r.URL.Path == pathReady || forStrangers(r.URL.Path) || ui.Takes(r.URL.Path) { // the dashboard has a login
		return nil
	}
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Authorization") == "" && g.signed != nil && g.signed(r) {
		return nil // the streams and documents that its pages read
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return newProblem(CodeUnauthorized, "send the header Authorization: Bearer <token>")
	}
	given := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(given[:], g.token[:]) != 1 {
		return newProblem(CodeUnauthorized, "the token is not the one that this server was started with")
	}
	return nil
}

// loopbackHost reports whether a Host header names this machine by a loopback address or as localhost.
func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ".")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// CheckListen returns why a server must not listen on the address with the token: without one it may only be reached from
// the machine itself. The error has three lines: what, why, and what to do.
func CheckListen(address, token string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("cannot listen on %q\nit is not an address like 127.0.0.1:8080 or [::1]:8080\ngive host and port", address)
	}
	if token != "" || loopbackHost(host) {
		return nil
	}
	return fmt.Errorf("refusing to listen on %s without a token\nwhoever reaches that address could submit, read and cancel tasks\n"+
		"set a token (--token, SCHEDULER_TOKEN), or listen on 127.0.0.1", address)
}
