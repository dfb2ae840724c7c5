package httpapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/proc"
)

const (
	proxiedName = "jobs.example.org" // in the guide's configuration
	proxyGuide  = "../docs/guides/behind-a-proxy.md"
)

// proxied is nginx, with the configuration that the guide shows, in front of two servers.
type proxied struct {
	*rig  // asks through nginx, over HTTP/2, as one who has the token
	t     *testing.T
	dir   string // of its files
	at    string // address
	nginx *proc.Process
	trust *x509.CertPool
}

// behind starts nginx. The pairs of change replace what stands in the configuration.
func (r *rig) behind(servers [2]string, change ...string) *proxied {
	r.t.Helper()
	proc.Need(r.t, "nginx")
	p := &proxied{t: r.t, dir: r.t.TempDir(), at: "127.0.0.1:" + proc.FreePort(r.t), trust: x509.NewCertPool()}
	p.certify()
	p.configure(servers, change...)
	p.nginx = proc.Start(r.t, exec.Command(proc.Where("nginx"), "-e", "stderr", "-p", p.dir, "-c", filepath.Join(p.dir, "nginx.conf")))
	proc.Await(r.t, "nginx listens", func() bool {
		conn, err := net.Dial("tcp", p.at)
		if err == nil {
			_ = conn.Close()
		} else if p.nginx.Ended() {
			r.t.Fatalf("nginx ended: %s", p.nginx.Stderr)
		}
		return err == nil
	})
	its := *r
	its.url, its.web = "https://"+proxiedName+":"+p.port(), p.client(true, secret)
	p.rig = &its
	return p
}

func (p *proxied) port() string { return strings.TrimPrefix(p.at, "127.0.0.1:") }

// configure writes the guide's configuration as files of nginx.
func (p *proxied) configure(servers [2]string, change ...string) {
	p.t.Helper()
	page, err := os.ReadFile(proxyGuide)
	if err != nil {
		p.t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```nginx\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		p.t.Fatalf("the guide has %d configurations, want that of the program and that of the site", len(blocks))
	}
	site := blocks[1][1]
	for i, pairs := 0, append([]string{"443 ssl", p.at + " ssl", "127.0.0.1:8081", servers[0], "127.0.0.1:8082", servers[1],
		"/etc/ssl/jobs.example.org.pem", p.dir + "/certificate.pem", "/etc/ssl/private/jobs.example.org.key", p.dir + "/key.pem"}, change...); i < len(pairs); i += 2 {
		if strings.Count(site, pairs[i]) != 1 {
			p.t.Fatalf("%q does not stand in the guide's configuration once", pairs[i])
		}
		site = strings.Replace(site, pairs[i], pairs[i+1], 1)
	}
	head := "daemon off;\nerror_log stderr notice;\npid nginx.pid;\n"
	if os.Geteuid() == 0 {
		head += "user root;\n" // the files are root's
	}
	paths := "access_log off;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		paths += kind + "_temp_path " + kind + ";\n"
	}
	p.file("nginx.conf", head+blocks[0][1]+"http {\n"+paths+site+"}\n")
}

func (p *proxied) file(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// certify makes a certificate for the name of the guide.
func (p *proxied) certify() {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{proxiedName}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		p.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	p.trust.AppendCertsFromPEM(certificate)
	p.file("certificate.pem", string(certificate))
	p.file("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}

// elsewhereAddress is where clients come from: another address of this machine than nginx's own, where there is one.
func elsewhereAddress() string {
	if runtime.GOOS == "linux" {
		return "127.0.0.2"
	}
	return "127.0.0.1"
}

// client is somebody who asks nginx; token "": without one.
func (p *proxied) client(http2 bool, token string) *http.Client {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(elsewhereAddress())}}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.trust}, ForceAttemptHTTP2: http2,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", p.at) }}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: bearer{transport, token}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// bearer sends a token along.
type bearer struct {
	*http.Transport
	token string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" && r.Header.Get("Authorization") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.Transport.RoundTrip(r)
}

// with is the same rig for another client.
func (p *proxied) with(web *http.Client) *rig {
	its := *p.rig
	its.web = web
	return &its
}

// reload has nginx take a new configuration, and waits until it has.
func (p *proxied) reload(servers [2]string) {
	p.t.Helper()
	p.configure(servers)
	before := strings.Count(p.nginx.Stderr.String(), "gracefully shutting down")
	p.nginx.Signal(syscall.SIGHUP)
	proc.Await(p.t, "nginx has reloaded", func() bool {
		return strings.Count(p.nginx.Stderr.String(), "gracefully shutting down") > before
	})
}

// source follows a stream as an EventSource does: it comes back with the id of the last event when the connection breaks.
type source struct {
	r      *rig
	path   string
	feed   *feed
	last   string
	broken int // connections
}

func (r *rig) source(path string) *source {
	r.t.Helper()
	return &source{r: r, path: path, feed: r.listen(path)}
}

// next returns the next event, over whichever connection. An answer without a stream ends the test, but for those of nginx.
func (s *source) next() event {
	s.r.t.Helper()
	for {
		e, err := s.feed.read()
		if err == nil {
			s.last = e.id
			return e
		}
		s.broken++
		proc.Await(s.r.t, fmt.Sprintf("%s is open again after %v", s.path, err), func() bool {
			s.feed = s.r.listen(s.path, "Last-Event-ID", s.last)
			return s.feed.answer.StatusCode < http.StatusInternalServerError
		})
		if s.feed.answer.StatusCode != http.StatusOK {
			s.r.t.Fatalf("%s is answered by %s", s.path, s.feed.answer.Status)
		}
	}
}
