package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/httpapi/ui"
	"github.com/pgscheduler/scheduler/scheduler"
)

// Config of a handler. The zero value serves anyone who asks by a name of this machine.
type Config struct {
	// Token that requests must bear (Authorization: Bearer …). "": none is needed, and only requests to localhost are
	// answered; see CheckListen.
	Token string

	// WatchKeys sign watch URLs: the first makes new ones, all are believed, so that a key can be replaced without breaking
	// the URLs under way. Servers behind one name need the same. nil: a key derived from Token, see DeriveWatchKey; without a
	// Token, or with one of less than 16 bytes, a random key, whose URLs end with the process.
	WatchKeys []WatchKey

	// Version of the program, for GET /version and the OpenAPI document. "": dev.
	Version string

	// Metrics answers GET /metrics, for those who have the token. nil: there is nothing at that path.
	Metrics http.Handler

	// Logger gets each request at level debug, and what fails for no fault of the client's. nil: slog.Default().
	Logger *slog.Logger
}

// server answers requests. What is one of a kind in a process, the listener and its time-outs, is Serve's.
type server struct {
	client     *scheduler.Client
	logger     *slog.Logger
	version    string
	gate       gate
	mux        *routes
	patience   time.Duration // with the database, for one request
	bodyWait   time.Duration // for the end of a body
	takeWait   time.Duration // for a client to take what a stream sends
	silence    time.Duration // of a stream or socket, until it sends a sign of life
	mostHeld   int           // bytes of an answer to lines that is held as a whole, up to the end of a chunk
	submits    decoder[SubmitRequest]
	cancels    decoder[CancelRequest]
	edits      decoder[EditRequest]
	bulkBody   decoder[BulkRequest]
	plans      decoder[ScheduleRequest]
	watches    decoder[WatchRequest]
	targets    decoder[EndpointRequest]
	posts      decoder[PublishRequest]
	subs       decoder[SubscriptionRequest]
	leaseBody  decoder[LeaseRequest]
	beatBody   decoder[BeatRequest]
	heartbeats decoder[LeaseHeartbeatRequest]
	completes  decoder[CompleteRequest]
	fails      decoder[FailRequest]
	releases   decoder[ReleaseRequest]
	asks       decoder[SocketRequest]
	keys       watchKeys
	clock      func() time.Time // of watch URLs
	document   []byte           // OpenAPI
	pages      *ui.UI
}

// routes is a ServeMux that knows its patterns. Streams will be registered on it beside the operations of openapi.go.
type routes struct {
	http.ServeMux
	patterns []string
	literal  map[string]bool // paths without a wildcard
}

func (r *routes) HandleFunc(pattern string, handle func(http.ResponseWriter, *http.Request)) {
	r.patterns = append(r.patterns, pattern)
	if _, path, _ := strings.Cut(pattern, " "); !strings.Contains(path, "{") {
		r.literal[path] = true
	}
	r.ServeMux.HandleFunc(pattern, handle)
}

// takes reports whether a route takes the request. A path that is a route's own, as /v1/tasks/batch, is never taken for
// one with a wildcard, as /v1/tasks/{id}.
func (r *routes) takes(request *http.Request) bool {
	_, pattern := r.Handler(request)
	_, path, _ := strings.Cut(pattern, " ")
	return pattern != "" && (path == request.URL.Path || !r.literal[request.URL.Path])
}

// New returns a handler that serves the API of a client's database. The handler never touches the database by itself; the
// client must stay open for as long as it is used. The error is about the Config, and nil for any sensible one.
func New(client *scheduler.Client, config Config) (http.Handler, error) {
	s, err := newServer(client, config)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func newServer(client *scheduler.Client, config Config) (*server, error) {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Version == "" {
		config.Version = "dev"
	}
	if strings.TrimSpace(config.Token) != config.Token {
		return nil, errors.New("httpapi: Config.Token begins or ends with white space")
	}
	keys, err := newWatchKeys(config)
	if err != nil {
		return nil, err
	}
	s := &server{client: client, logger: config.Logger, version: config.Version, gate: newGate(config.Token), mux: &routes{literal: map[string]bool{}},
		keys: keys, clock: time.Now, patience: 10 * time.Second, bodyWait: 30 * time.Second, takeWait: 20 * time.Second, silence: 15 * time.Second, mostHeld: 16 << 20}
	if config.Metrics != nil { // not in the document: its format is not ours
		s.mux.HandleFunc("GET /metrics", config.Metrics.ServeHTTP)
	}
	if err := s.register(); err != nil {
		return nil, fmt.Errorf("httpapi: describe the API: %w", err)
	}
	if err := s.addPages(config.Token); err != nil {
		return nil, err
	}
	return s, nil
}

// ServeHTTP does for every request what no route can do for itself: who may pass, an id, safe headers, an answer to what
// panics, and a line in the log.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start, out := time.Now(), &response{ResponseWriter: w}
	id := newRequestID(r)
	ctx := scheduler.WithActor(context.WithValue(r.Context(), requestKey{}, id), actorOf(r))
	r = r.WithContext(scheduler.WithTraceParent(ctx, r.Header.Get("Traceparent")))
	header := out.Header()
	header.Set("X-Request-Id", id)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	defer func() {
		s.recovered(out, r, recover())
		s.logger.LogAttrs(r.Context(), slog.LevelDebug, "request", slog.String("method", r.Method), slog.String("route", r.Pattern),
			slog.Int("status", out.status), slog.Duration("duration", time.Since(start)), slog.String("request_id", id))
	}()
	s.hurry(out, r)
	problem := s.gate.refuse(r)
	if problem == nil && forStrangers(r.URL.Path) && openToAll(out, r) {
		return
	}
	if problem == nil && ui.Takes(r.URL.Path) && clean(r.URL.EscapedPath()) {
		s.pages.ServeHTTP(out, r)
		return
	}
	if problem == nil {
		problem = s.misrouted(r)
	}
	if problem != nil {
		problem.write(out, r)
		return
	}
	s.mux.ServeHTTP(out, r)
}

// misrouted returns the problem of a request that no route takes.
func (s *server) misrouted(r *http.Request) *Problem {
	if !clean(r.URL.EscapedPath()) {
		return newProblem(CodeNotFound, NoSuchPath+"a path with empty segments, . or ..; /openapi.json lists what there is")
	}
	if s.mux.takes(r) {
		return nil
	}
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := *r
		other.Method = method
		if s.mux.takes(&other) {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		return newProblem(CodeNotFound, NoSuchPath+"this path; /openapi.json lists what there is")
	}
	problem := newProblem(CodeMethodNotAllowed, "the path knows only "+strings.Join(allowed, ", "))
	problem.header = http.Header{"Allow": {strings.Join(allowed, ", ")}}
	return problem
}

// clean reports whether a path is one that ServeMux takes as it is, rather than redirect to another.
func clean(escaped string) bool {
	return escaped == "/" || strings.HasPrefix(escaped, "/") && path.Clean(escaped) == strings.TrimSuffix(escaped, "/")
}

// recovered answers a request whose handler panicked. A client that is gone is no reason to log one.
func (s *server) recovered(out *response, r *http.Request, cause any) {
	switch {
	case cause == nil:
		return
	case cause == http.ErrAbortHandler:
		panic(cause)
	case out.broken || r.Context().Err() != nil:
		return
	}
	s.logger.LogAttrs(r.Context(), slog.LevelError, "request: panic", slog.String("route", r.Pattern), slog.Any("err", cause),
		slog.String("stack", string(debug.Stack())), slog.String("request_id", requestID(r.Context())))
	if out.status != 0 {
		panic(http.ErrAbortHandler) // half an answer is out: cut the connection rather than end it well
	}
	newProblem(CodeInternal, "an unexpected error; the server's log has it under the request_id").write(out, r)
}

// response remembers what was sent.
type response struct {
	http.ResponseWriter
	status int
	broken bool // the client is gone
}

// WriteHeader sends the status, the first one only.
func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.broken = w.broken || err != nil
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type requestKey struct{}

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._:/+=-]{1,128}$`)

// newRequestID returns the client's own id of the request when it is fit to be shown, or a random one.
func newRequestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); requestIDPattern.MatchString(id) {
		return id
	}
	return rand.Text()
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}
