//go:build unix

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

const token = "conformance-token"

// server is a scheduler with a database of its own.
type server struct {
	t        *testing.T
	database string

	mu      sync.Mutex
	process *proc.Process
	address string // empty: it is down
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, database: pgtest.DB(t)}
	s.up()
	return s
}

// up starts the API's process.
func (s *server) up() {
	s.t.Helper()
	p := start(s.t, []string{proc.Scheduler(s.t), "serve", "--listen", "127.0.0.1:0"}, "SCHEDULER_DATABASE_URL="+s.database, "SCHEDULER_TOKEN="+token)
	address := p.Says(`msg=serve address=(\S+)`)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.address = p, address
}

// down kills it.
func (s *server) down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.Kill()
	s.address = ""
}

func (s *server) at() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// call sends one request and returns its answer as an object with status, headers in lower case, and body.
func (s *server) call(ctx context.Context, method, path string, headers map[string]string, body any) (map[string]any, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+s.at()+path, content)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"status": float64(response.StatusCode)}
	fields := map[string]any{}
	for name := range response.Header {
		fields[strings.ToLower(name)] = response.Header.Get(name)
	}
	answer["headers"] = fields
	if len(text) > 0 {
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			return nil, fmt.Errorf("%s %s: %w: %s", method, path, err, text)
		}
		answer["body"] = value
	}
	return answer, nil
}

// proxy stands between a worker and the server. Its address stays while the server goes and comes back, and it loses answers
// when told to.
type proxy struct {
	url string

	mu   sync.Mutex
	drop string // the verb whose next answer is lost
}

// doesKey is the key of what a request does.
type doesKey struct{}

// does returns the verbs of a request: lease, and those of a batch's items.
func does(path string, body []byte) string {
	verb := path[strings.LastIndex(path, "/")+1:]
	switch {
	case verb == "leases":
		return "lease"
	case verb != "batch":
		return verb
	}
	var batch struct{ Items []struct{ Op string } }
	_ = json.Unmarshal(body, &batch) // the server will say so
	var verbs []string
	for _, item := range batch.Items {
		verbs = append(verbs, item.Op)
	}
	return strings.Join(verbs, " ")
}

var errDropped = errors.New("this answer is lost")

func newProxy(t *testing.T, to *server) *proxy {
	t.Helper()
	p := &proxy{}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", to.at()
			if r.Out.URL.Host == "" {
				r.Out.URL.Host = "127.0.0.1:1" // nobody listens there
			}
			r.Out.Host = r.Out.URL.Host
		},
		ModifyResponse: func(r *http.Response) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			does, _ := r.Request.Context().Value(doesKey{}).(string)
			if p.drop != "" && slices.Contains(strings.Fields(does), p.drop) && r.StatusCode < 300 {
				p.drop = ""
				return errDropped
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // cuts the connection
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		pass.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), doesKey{}, does(r.URL.Path, body))))
	}))
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.Start()
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	p.url = front.URL
	return p
}

func (p *proxy) lose(verb string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop = verb
}

// dropped reports whether the answer was lost by now.
func (p *proxy) dropped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drop == ""
}
