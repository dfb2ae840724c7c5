package httpapi

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"path"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	pathWatch       = "/watch/"
	pathWatchScript = "/watch.js"
	pathWatchStyle  = "/watch.css"
	defaultWatchTTL = 24 * time.Hour
	watchRetryAfter = "2" // seconds between two polls; there may be many who poll
)

// Watch is a watch URL.
type Watch struct {
	URL       string    `json:"url" doc:"Path of a page for people, and of JSON for programs; with /events behind it a stream."`
	Token     string    `json:"token" doc:"The last part of the URL."`
	ExpiresAt time.Time `json:"expires_at"`
}

type mintInput struct {
	ID      scheduler.TaskID `path:"id" format:"uuid"`
	RawBody []byte
}

type mintOutput struct {
	Location string `header:"Location" doc:"The URL."`
	Body     Watch
}

func (s *server) registerWatch(api huma.API) {
	tags := []string{"watch"}
	handle(s, api, operation{Operation: huma.Operation{OperationID: "watch-task", Method: "POST", Path: "/v1/tasks/{id}/watch", Tags: tags,
		DefaultStatus: 201, Summary: "Make a URL under which a browser may follow the task without a token",
		Description: "Whoever has the URL sees how far the task is and how it ended, until the URL expires, and of the rest only what shows says. Nothing is stored."},
		accepts: map[string]any{mediaJSON: WatchRequest{}}, optional: true, codes: []Code{CodeNotFound}}, s.mintWatch)

	registry := api.OpenAPI().Components.Schemas
	text := func(media string) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{media: {Schema: &huma.Schema{Type: huma.TypeString}}}
	}
	task := &huma.MediaType{Schema: registry.Schema(reflect.TypeFor[WatchedTask](), true, "")}
	token := &huma.Param{Name: "token", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}}
	header := func(name, doc string) *huma.Param {
		return &huma.Param{Name: name, In: "header", Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	for _, op := range []operation{
		{Operation: huma.Operation{OperationID: "watch", Path: pathWatch + "{token}", Summary: "One task, redacted: a page for people, JSON for programs",
			Description: "HTML for a client that prefers text/html to application/json, else JSON. Pages of any origin may read it.",
			Parameters: []*huma.Param{token, header("If-None-Match", "The ETag of what you have: 304 when it is still that."),
				header("Prefer", "wait=N: answer when the task is done, or with If-None-Match when it is no more what you have, or after N seconds, 1 to 60.")},
			Responses: map[string]*huma.Response{"200": {Description: "The task", Content: map[string]*huma.MediaType{mediaJSON: task, "text/html": text("text/html")["text/html"]}},
				"304": {Description: "It is still what If-None-Match says"}}}, direct: s.watchTask},
		{Operation: huma.Operation{OperationID: "watch-events", Path: pathWatch + "{token}/events", Summary: "One task, redacted, live (server-sent events)",
			Description: "event: task, the whole task as it is, first of all and after each change; event: log, a line, if the link shows them; " +
				"event: gone, it was deleted; event: end, it is done. " +
				"id: what to come back with. Ends when the URL expires.",
			Parameters: []*huma.Param{token, {Name: "after", In: "query", Schema: &huma.Schema{Type: huma.TypeString},
				Description: "The id of the last event that was seen; Last-Event-ID says the same and comes first."}},
			Responses: map[string]*huma.Response{"200": {Description: "The stream", Content: map[string]*huma.MediaType{"text/event-stream": task}},
				"204": {Description: "All was seen, and nothing more will come"}}}, direct: s.watchEvents},
		{Operation: huma.Operation{OperationID: "watch-script", Path: pathWatchScript, Summary: "ES module that defines the element <task-progress src>",
			Responses: assetResponses("The module", text("text/javascript"))}, direct: watchScript.Serve},
		{Operation: huma.Operation{OperationID: "watch-style", Path: pathWatchStyle, Summary: "Style sheet of the page",
			Responses: assetResponses("The style sheet", text("text/css"))}, direct: watchStyle.Serve},
	} {
		op.Method, op.Tags, op.Security = http.MethodGet, tags, []map[string][]string{{}}
		if strings.Contains(op.Path, "{token}") {
			op.codes = []Code{CodeWatchNotFound}
		}
		for status, problem := range op.problems(registry) {
			op.Responses[status] = problem
		}
		if op.OperationID == "watch" { // people are told on a page
			for _, status := range []string{"404", "default"} {
				both := map[string]*huma.MediaType{"text/html": text("text/html")["text/html"]}
				maps.Copy(both, op.Responses[status].Content)
				op.Responses[status].Content = both
			}
		}
		api.OpenAPI().AddOperation(&op.Operation)
		s.mux.HandleFunc(op.Method+" "+op.Path, op.direct)
	}
}

func assetResponses(what string, content map[string]*huma.MediaType) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: what, Content: content}, "304": {Description: "It is still what If-None-Match says"}}
}

// forStrangers reports whether a path is open to whoever has it, without the API's token.
func forStrangers(at string) bool {
	return at == pathWatchScript || at == pathWatchStyle || strings.HasPrefix(at, pathWatch) && path.Clean(at) == at
}

// openToAll lets pages of every origin read the answer: what it shows is for whoever has the URL, and cookies are not looked
// at. It answers what browsers ask beforehand (OPTIONS), and reports whether that was all.
func openToAll(w http.ResponseWriter, r *http.Request) (answered bool) {
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Access-Control-Expose-Headers", "ETag, Preference-Applied, Retry-After, X-Request-Id")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if r.Method != http.MethodOptions {
		return false
	}
	header.Set("Access-Control-Allow-Methods", "GET")
	header.Set("Access-Control-Allow-Headers", "Cache-Control, If-None-Match, Last-Event-ID, Prefer, X-Request-Id")
	header.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// mintWatch makes a watch URL of a task that there is.
func (s *server) mintWatch(ctx context.Context, in *mintInput) (*mintOutput, error) {
	request, err := s.watches.one(in.RawBody)
	if err != nil {
		return nil, err
	}
	if _, err := s.client.Task(ctx, in.ID); err != nil {
		return nil, noSuch(err, "task "+in.ID.String())
	}
	ttl := defaultWatchTTL
	if request.TTLMS != nil {
		ttl = duration(*request.TTLMS)
	}
	watch := s.mintedWatch(in.ID, watchWish{ttl, shown(request.Shows)})
	return &mintOutput{Location: watch.URL, Body: watch}, nil
}

// watchWish is the watch URL that somebody wants.
type watchWish struct {
	ttl   time.Duration // that it is valid; 0: none is wanted
	shows WatchShow
}

// shown turns words, which the document allows no others of, into what a token shows.
func shown(words []string) (shows WatchShow) {
	for _, word := range words {
		switch word {
		case "lines":
			shows |= ShowLines
		case "result":
			shows |= ShowResult
		}
	}
	return shows
}

// mintedWatch is a watch URL that is valid for at least so long, and less than a second longer.
func (s *server) mintedWatch(id scheduler.TaskID, wish watchWish) Watch {
	expires := s.clock().Add(wish.ttl + time.Second - 1).Truncate(time.Second).UTC()
	token := s.keys.first.Mint(id, expires, wish.shows)
	return Watch{URL: pathWatch + token, Token: token, ExpiresAt: expires}
}

// watchLink is the watch URL of a task; "": none is wanted.
func (s *server) watchLink(id scheduler.TaskID, wish watchWish) string {
	if wish.ttl == 0 {
		return ""
	}
	return s.mintedWatch(id, wish).URL
}

// noWatch says the same of all links that show nothing, so that nobody learns from it.
func noWatch() *Problem {
	return newProblem(CodeWatchNotFound, "the link is not complete, has expired, or its task was removed; ask for a new one where it came from")
}

func watchMissing(err error) error {
	if errors.Is(err, scheduler.ErrNotFound) {
		return noWatch()
	}
	return err
}

// watchTask answers with the task as a page or as JSON.
func (s *server) watchTask(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Vary", "Accept")
	html := prefersHTML(r.Header.Values("Accept"))
	task, shows, wait, problem := s.watched(r, html)
	if html {
		s.watchPage(w, r, task, shows, problem)
		return
	}
	if problem != nil {
		problem.write(w, r)
		return
	}
	tag := etag(task.Revision)
	header.Set("Etag", tag)
	if !task.State.Done() {
		header.Set("Retry-After", watchRetryAfter)
	}
	if wait > 0 {
		header.Set("Preference-Applied", "wait="+strconv.Itoa(wait))
	}
	if matches(strings.Join(r.Header.Values("If-None-Match"), ", "), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", mediaJSON)
	_ = huma.DefaultJSONFormat.Marshal(w, NewWatchedTask(task, shows)) // the client may be gone
}

// watched reads the task that a request's token stands for, and what it shows of it, at once for a page, and else when Prefer says so; wait: for how long
// it may have waited.
func (s *server) watched(r *http.Request, html bool) (task scheduler.Task, shows WatchShow, wait int, problem *Problem) {
	granted, err := s.keys.read(r.PathValue("token"), s.clock())
	if err != nil {
		return task, 0, 0, noWatch()
	}
	id := granted.task
	prefer := strings.Join(r.Header.Values("Prefer"), ", ")
	ctx, cancel := s.limited(r.Context(), prefer)
	defer cancel()
	if wait = parseWait(prefer); wait > 0 && !html {
		task, err = s.wait(ctx, id, wait, strings.Join(r.Header.Values("If-None-Match"), ", "))
	} else {
		task, err = s.client.Task(ctx, id)
	}
	if err != nil {
		problem = s.problem(ctx, watchMissing(err))
	}
	return task, granted.shows, wait, problem
}

// watchEvents answers with the stream of the task that a token stands for, until the token expires.
func (s *server) watchEvents(w http.ResponseWriter, r *http.Request) {
	granted, err := s.keys.read(r.PathValue("token"), s.clock())
	if err != nil {
		noWatch().write(w, r)
		return
	}
	var from []cursor
	_, problem := strictly(r, []string{"after"}, nil)
	if problem == nil {
		from, problem = seen(r, 1)
	}
	if problem != nil {
		problem.write(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), granted.expires.Sub(s.clock()))
	defer cancel()
	s.stream(w, r.WithContext(ctx), []scheduler.TaskID{granted.task}, from, watchView{granted.shows}, granted.shows&ShowLines != 0)
}
