package httpapi

import (
	"bytes"
	_ "embed"
	"html/template"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/httpapi/asset"
	"github.com/pgscheduler/scheduler/scheduler"
)

var (
	//go:embed watch/page.html
	watchHTML string
	//go:embed watch/watch.js
	watchJS string
	//go:embed watch/watch.css
	watchCSS string

	watchTemplate = template.Must(template.New("page").Parse(watchHTML))
	watchScript   = asset.New("watch.js", "text/javascript; charset=utf-8", watchJS)
	watchStyle    = asset.New("watch.css", "text/css; charset=utf-8", watchCSS)
)

// watchPolicy lets the page load its own script, style and data, and lets every page show it in a frame. There is nothing to
// click on that a frame could abuse.
const watchPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *"

// watchShown is what page.html shows. It says the same as watch.js, which takes over in browsers that run it.
type watchShown struct {
	Script, Style asset.Asset
	Problem       *Problem // nil: there is a task
	Sentence      string   // of the problem
	Token         string
	State, Word   string
	Live          bool     // the task is not done
	Lines         bool     // the log is shown
	Percent       *float64 // nil: nobody knows
	Text          string
	Created       time.Time
}

// watchPage answers with the page of a task, or of a problem.
func (s *server) watchPage(w http.ResponseWriter, r *http.Request, task scheduler.Task, shows WatchShow, problem *Problem) {
	shown, status := watchShown{Script: watchScript, Style: watchStyle, Problem: problem}, http.StatusOK
	if problem != nil {
		status, shown.Sentence = problem.Status, strings.ToUpper(problem.Detail[:1])+problem.Detail[1:]+"."
	} else {
		shown.show(NewWatchedTask(task, shows))
		shown.Lines = shows&ShowLines != 0
		shown.Token = r.PathValue("token")
	}
	var page bytes.Buffer
	if err := watchTemplate.Execute(&page, shown); err != nil {
		panic(err) // ServeHTTP answers
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", watchPolicy)
	w.WriteHeader(status)
	if _, err := page.WriteTo(w); err != nil {
		s.logger.LogAttrs(r.Context(), slog.LevelDebug, "watch: client gone", slog.String("request_id", requestID(r.Context())))
	}
}

var watchWords = map[string]string{"blocked": "Waiting", "scheduled": "Waiting", "ready": "Waiting", "running": "Running",
	"completed": "Done", "failed": "Failed", "cancelled": "Cancelled"}

func (p *watchShown) show(t WatchedTask) {
	p.State, p.Word, p.Live, p.Created = t.State, watchWords[t.State], !t.Done, t.CreatedAt
	var parts []string
	switch {
	case t.State == "completed":
		p.Percent = new(100.0)
	case t.Progress != nil && t.Progress.Percent != nil:
		p.Percent = t.Progress.Percent
	case t.State != "running":
		p.Percent = new(0.0)
	}
	switch {
	case t.State == "completed" || t.Progress != nil && t.Progress.Percent != nil:
		parts = append(parts, strconv.Itoa(int(math.Floor(*p.Percent)))+"%")
	case t.Progress != nil && t.Progress.Current > 0:
		parts = append(parts, strconv.FormatInt(t.Progress.Current, 10)+" so far")
	}
	if t.Error != nil && t.State == "scheduled" {
		p.Word = "Waiting to try again"
	}
	said := t.Progress != nil && t.Progress.Message != nil && *t.Progress.Message != ""
	if t.Error != nil && (t.Done || t.State == "scheduled" && !said) {
		parts = append(parts, t.Error.Message)
	} else if said {
		parts = append(parts, *t.Progress.Message)
	}
	p.Text = strings.Join(parts, " · ")
}

// prefersHTML reports whether a client would rather have a page than JSON, as browsers would. One that takes anything is a
// program.
func prefersHTML(accept []string) bool {
	weight := map[string]float64{}
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, parameters, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q, err := strconv.ParseFloat(parameters["q"], 64)
		if err != nil {
			q = 1
		}
		weight[media] = max(weight[media], q)
	}
	return weight["text/html"] > weight[mediaJSON]
}
