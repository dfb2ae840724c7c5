package ui

import (
	"bytes"
	"context"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pgscheduler/scheduler/scheduler"
)

//go:embed templates
var templates embed.FS

// pages are the templates of pages by name, each within the frame of layout.html.
type pages map[string]*template.Template

func parsePages() (pages, error) {
	frame, err := template.New("layout.html").Option("missingkey=error").Funcs(words).ParseFS(templates, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(templates, "templates/*.html")
	if err != nil {
		return nil, err
	}
	all := pages{}
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		own, err := frame.Clone()
		if err != nil {
			return nil, err
		}
		if all[name], err = own.ParseFS(templates, file); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// frame is what every template is given.
type frame struct {
	*screen
	Nav      []navItem
	Path     string // of the page, with its query: where forms come back to
	JSON     string // of the page as JSON
	Said     string // what was done last
	Actor    string
	SignedIn bool // there is a session to end
	Version  string
	Now      time.Time
	Build    string // of the style and the module
	Reread   bool   // the page reads itself again without JavaScript: nothing can be typed or selected on it
	Again    bool   // the page is about a failure that passes, and asks again
}

type navItem struct {
	Path, Label string
	Here        bool
}

// navigation lists the pages.
var navigation = []struct{ path, label, name string }{
	{"/", "Overview", "overview"}, {"/tasks", "Tasks", "tasks"}, {"/dead", "Dead letters", "dead"}, {"/queues", "Queues", "queues"},
	{"/schedules", "Schedules", "schedules"},
	{"/topics", "Topics", "topics"}, {"/endpoints", "Endpoints", "endpoints"}, {"/workers", "Workers", "workers"}, {"/events", "Events", "events"}, {"/settings", "Settings", "settings"},
}

// render sends a page, whole or not at all.
func (u *UI) render(w http.ResponseWriter, r *http.Request, status int, s *screen) {
	if wantsJSON(r) {
		sendJSON(w, r, status, s.Wire)
		return
	}
	f := frame{screen: s, Path: r.URL.RequestURI(), JSON: jsonPath(r), Said: said(w, r), Actor: actor(r), SignedIn: u.SignedIn(r),
		Version: u.config.Version, Now: time.Now().UTC(), Build: build, Reread: s.Reread, Again: status == http.StatusServiceUnavailable && r.Method == http.MethodGet}
	for _, item := range navigation {
		f.Nav = append(f.Nav, navItem{item.path, item.label, item.name == s.Name || item.name == "tasks" && (s.Name == "task" || s.Name == "new")})
	}
	var page bytes.Buffer
	if err := u.pages[s.Name].ExecuteTemplate(&page, "layout.html", f); err != nil {
		panic(err) // a template does not fit its data: a bug, which the server logs
	}
	send(w, r, status, "text/html; charset=utf-8", page.Bytes())
}

func sendJSON(w http.ResponseWriter, r *http.Request, status int, value any) {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		panic(err)
	}
	send(w, r, status, "application/json", append(body, '\n'))
}

// jsonPath is where a page is JSON.
func jsonPath(r *http.Request) string {
	at := *r.URL
	at.RawPath = ""
	if at.Path == "/" {
		at.Path = "/index"
	}
	at.Path += ".json"
	return at.RequestURI()
}

// failure is what the page of an error shows.
type failure struct{ Title, Detail, Back string }

// fail sends a page, or JSON, about what went wrong.
func (u *UI) fail(w http.ResponseWriter, r *http.Request, status int, title, detail string) {
	wire := map[string]any{"status": status, "title": title, "detail": detail}
	u.render(w, r, status, &screen{Name: "failure", Title: title, Data: failure{title, sentence(detail), back(r)}, Wire: wire})
}

// sentence begins with a capital and ends with a full stop. What names a field of a form does so in its words: /max_attempts: 1 to 1000.
func sentence(detail string) string {
	detail = strings.TrimPrefix(detail, "/")
	if detail == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(detail)
	detail = string(unicode.ToUpper(first)) + detail[size:]
	if !strings.HasSuffix(detail, ".") {
		detail += "."
	}
	return detail
}

// back is the page that a form or a bad filter was on; "": none.
func back(r *http.Request) string {
	if r.Method == http.MethodPost {
		if from := r.PostForm.Get("back"); from != "" {
			return local(from)
		}
		return ""
	}
	if r.URL.RawQuery != "" {
		return r.URL.Path
	}
	return ""
}

// refuse is fail for an error of scheduler's.
func (u *UI) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, title, detail := http.StatusInternalServerError, "It did not work", err.Error()
	switch {
	case errors.Is(err, errBadForm):
		status = http.StatusUnprocessableEntity
	case errors.Is(err, errChanged):
		status, title = http.StatusPreconditionFailed, "Somebody changed the task meanwhile"
	case u.config.Refusal != nil:
		status, title, detail = u.config.Refusal(r.Context(), err)
	}
	if errors.Is(err, scheduler.ErrNotFound) && strings.HasPrefix(r.URL.Path, "/tasks/") {
		title, detail = "There is no such task", "It was deleted, or there never was one of that id."
	}
	u.fail(w, r.WithContext(context.WithoutCancel(r.Context())), status, title, detail)
}

const saidCookie = "scheduler_said"

// sayNext has the next page say what was done.
func sayNext(w http.ResponseWriter, text string) {
	http.SetCookie(w, &http.Cookie{Name: saidCookie, Value: base64.RawURLEncoding.EncodeToString([]byte(text)), Path: "/", MaxAge: 60,
		HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

// said returns what the page before left to say, once. A page that only reads itself again leaves it.
func said(w http.ResponseWriter, r *http.Request) string {
	cookie, err := r.Cookie(saidCookie)
	if err != nil || r.Header.Get("X-Refresh") != "" {
		return ""
	}
	http.SetCookie(w, &http.Cookie{Name: saidCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	text, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return ""
	}
	return string(text)
}
