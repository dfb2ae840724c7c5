package ui

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Config of the dashboard.
type Config struct {
	Client  *scheduler.Client // must stay open
	Token   string            // that people sign in with. "": nobody has to, and only this machine reaches the pages
	Version string            // of the program
	Wire    Wire              // how the .json of a page shows things

	// Refusal is what a page says of an error of scheduler's: an HTTP status and, for people, what happened.
	Refusal func(ctx context.Context, err error) (status int, title, detail string)
}

// Wire is how the API shows things; a page's .json shows them the same way.
type Wire struct {
	Task     func(scheduler.Task) any
	Attempt  func(scheduler.Attempt) any
	LogLine  func(scheduler.LogLine) any
	Reason   func(scheduler.Reason) any
	Queue    func(scheduler.QueueStatus) any
	Worker   func(scheduler.Worker) any
	Schedule func(scheduler.Schedule) any
	Audit    func(scheduler.Audit) any

	Subscription func(scheduler.Subscription) any
	Message      func(scheduler.StoredMessage) any
	Endpoint     func(scheduler.Endpoint) any
}

// UI answers the requests for pages. Safe for concurrent use.
type UI struct {
	client   *scheduler.Client
	config   Config
	sessions sessions
	pages    pages
	mux      http.ServeMux
}

// patience is how long a page waits for the database.
const patience = 10 * time.Second

// New returns the dashboard. It does not touch the database.
func New(config Config) (*UI, error) {
	parsed, err := parsePages()
	if err != nil {
		return nil, fmt.Errorf("ui: %w", err)
	}
	u := &UI{client: config.Client, config: config, sessions: newSessions(config.Token), pages: parsed}
	u.show("/{$}", u.overview)
	u.show("/tasks", u.tasks)
	u.show("/tasks/{id}", u.task)
	u.show("/tasks/new", u.newTask)
	u.show("/dead", u.dead)
	u.show("/queues", u.queues)
	u.show("/schedules", u.schedules)
	u.show("/topics", u.topics)
	u.show("/endpoints", u.endpoints)
	u.show("/workers", u.workers)
	u.show("/events", u.events)
	u.show("/settings", u.settings)
	u.act("/tasks/act", u.actTasks)
	u.act("/tasks/edit", u.editTask)
	u.act("/tasks/submit", u.submitTask)
	u.act("/tasks/bulk", u.actBulk)
	u.act("/queues/act", u.actQueue)
	u.act("/schedules/act", u.actSchedule)
	u.act("/topics/act", u.actTopic)
	u.act("/endpoints/act", u.actEndpoint)
	u.act("/workers/act", u.actWorker)
	u.mux.HandleFunc("GET /login", u.loginPage)
	u.mux.HandleFunc("POST /login", u.login)
	u.mux.HandleFunc("POST /logout", u.logout)
	u.mux.HandleFunc("GET /tasks/{id}/{part}", u.taskPart)
	for name, file := range files {
		u.mux.HandleFunc("GET /static/"+name, file.Serve)
	}
	u.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		u.fail(w, r, http.StatusNotFound, "There is no such page", "The links above lead to all that there is.")
	})
	return u, nil
}

// firsts are the first parts of the paths of pages.
var firsts = map[string]bool{"": true, "tasks": true, "dead": true, "queues": true, "schedules": true, "topics": true, "endpoints": true, "workers": true, "events": true,
	"settings": true, "login": true, "logout": true, "static": true, "index": true}

// Takes reports whether a path is the dashboard's.
func Takes(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return firsts[strings.TrimSuffix(first, ".json")]
}

type jsonKey struct{}

// wantsJSON reports whether the .json of a page was asked for.
func wantsJSON(r *http.Request) bool { return r.Context().Value(jsonKey{}) != nil }

// ServeHTTP answers a request that Takes says is the dashboard's. A page at /x is JSON at /x.json, the overview at /index.json.
func (u *UI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "same-origin") // with no-referrer, forms would come from the origin null
	if path, ok := strings.CutSuffix(r.URL.Path, ".json"); ok && r.Method != http.MethodPost {
		other := *r.URL
		other.Path = strings.TrimSuffix(path, "index")
		other.RawPath = ""
		r = r.WithContext(context.WithValue(r.Context(), jsonKey{}, true))
		r.URL = &other
	}
	r, ok := u.sessions.admit(r)
	if !ok && !free(r.URL.Path) {
		u.refuseStranger(w, r)
		return
	}
	u.mux.ServeHTTP(w, r)
}

// free reports whether a path needs no session.
func free(path string) bool { return path == "/login" || strings.HasPrefix(path, "/static/") }

// screen is what a page shows.
type screen struct {
	Name  string      // of its template, and of its entry in the navigation
	Title string      // of the window
	Data  any         // for the template
	Wire  any         // for .json
	SQL   []Statement // of the view

	Reread bool // without JavaScript too: nothing can be typed or selected on it
}

// show registers a page.
func (u *UI) show(path string, look func(*http.Request) (*screen, error)) {
	u.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		s, err := look(r.WithContext(ctx))
		if err != nil {
			u.refuse(w, r.WithContext(ctx), err)
			return
		}
		u.render(w, r, http.StatusOK, s)
	})
}

// act registers what a form does. It returns what was done, for people, which the page says to which the browser goes back.
func (u *UI) act(path string, do func(*http.Request) (said string, err error)) {
	u.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			u.fail(w, r, http.StatusBadRequest, "The form can't be read", err.Error())
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		said, err := do(r.WithContext(scheduler.WithActor(ctx, actor(r))))
		if err != nil {
			u.refuse(w, r.WithContext(ctx), err)
			return
		}
		sayNext(w, said)
		http.Redirect(w, r, local(r.PostForm.Get("back")), http.StatusSeeOther)
	})
}

// maxForm is how many bytes a form may have: an edited payload is the most.
const maxForm = 4 << 20

// local returns a path of this server, or / for anything else.
func local(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}
