package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const (
	maxBody      = 1 << 20  // bytes of a body
	maxBatchBody = 16 << 20 // bytes of a batch
	mediaJSON    = "application/json"
	mediaNDJSON  = "application/x-ndjson"
	mediaMerge   = "application/merge-patch+json"
	mediaForm    = "application/x-www-form-urlencoded" // what curl -d says of anything
)

// readBody returns the step that reads the body of an operation before anything else sees it; see bodyOf.
func (s *server) readBody(limit int64, optional bool, types ...string) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		raw, problem := s.bodyOf(w, r, limit, optional, types...)
		if problem != nil {
			problem.write(w, r)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		next(ctx)
	}
}

// bodyOf returns a body of at most limit bytes and of one of the types. optional: an empty one will do.
func (s *server) bodyOf(w http.ResponseWriter, r *http.Request, limit int64, optional bool, types ...string) ([]byte, *Problem) {
	raw, problem := s.body(w, r, limit)
	switch {
	case problem != nil:
		return nil, problem
	case len(raw) > 0:
		return raw, checkType(r, types)
	case !optional:
		return nil, newProblem(CodeMalformedJSON, "the body is empty")
	}
	return nil, nil
}

// noBody is the step before an operation that takes no body: none passes, and so does {}, which many clients always send.
// Anything else was meant for something, and would be lost without a word.
func (s *server) noBody(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	raw, problem := s.body(w, r, maxBody)
	if problem == nil && len(raw) > 0 {
		problem = refuseBody(r.Context(), raw)
	}
	if problem != nil {
		problem.write(w, r)
		return
	}
	next(ctx)
}

func refuseBody(ctx context.Context, raw []byte) *Problem {
	if err := checkJSON(raw, ""); err != nil {
		return problemOf(ctx, err)
	}
	list, ok := members(raw)
	if !ok {
		return invalid(Detail{Detail: "expected no body, or an object without members"})
	}
	var faults []Detail
	for _, m := range list[:min(len(list), maxDetails)] {
		faults = append(faults, Detail{Pointer: "/" + escapePointer(m.name), Detail: "unknown; this request takes no members"})
	}
	if faults == nil {
		return nil
	}
	return invalid(faults...)
}

// hurry bounds the time for a request's body, also for a body that nobody reads: net/http reads on before it answers.
func (s *server) hurry(w http.ResponseWriter, r *http.Request) {
	if r.Body != http.NoBody {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.bodyWait)) // no connection has none
	}
}

// body reads at most limit bytes.
func (s *server) body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *Problem) {
	if r.Body == http.NoBody {
		return nil, nil
	}
	var raw []byte
	var err error
	if r.ContentLength <= limit {
		raw, err = io.ReadAll(io.LimitReader(r.Body, limit+1))
	}
	switch {
	case r.ContentLength > limit, int64(len(raw)) > limit:
		return nil, unread(newProblem(CodePayloadTooLarge, fmt.Sprintf("the body is larger than %d bytes", limit)))
	case err != nil:
		return nil, unread(s.unreadable(err))
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return raw, nil
}

// unreadable is the problem of a body that could not be read to its end.
func (s *server) unreadable(err error) *Problem {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return newProblem(CodeRequestTimeout, fmt.Sprintf("the body was not complete after %s", s.bodyWait))
	}
	return newProblem(CodeMalformedJSON, "the body could not be read to its end")
}

// unread ends the connection with the answer, rather than read what is left of the body.
func unread(p *Problem) *Problem {
	p.header = http.Header{"Connection": {"close"}}
	return p
}

// checkType refuses what says that it is something else than the types. No type at all passes, and so does a form's, which
// curl -d claims: another site can't use that, see auth.go.
func checkType(r *http.Request, types []string) *Problem {
	refuse := func(header, detail string) *Problem {
		return newProblem(CodeUnsupportedMediaType, detail, Detail{Header: header, Detail: "one of " + strings.Join(types, ", ")})
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return newProblem(CodeUnsupportedMediaType, "a compressed body is not understood", Detail{Header: "Content-Encoding", Detail: "none"})
	}
	given := r.Header.Get("Content-Type")
	if given == "" || slices.Contains(types, given) {
		return nil
	}
	media, parameters, err := mime.ParseMediaType(given)
	if err != nil {
		return refuse("Content-Type", "the media type can't be read")
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return refuse("Content-Type", "JSON is UTF-8")
	}
	for _, known := range append(types, mediaForm) {
		if media == known {
			return nil
		}
	}
	return refuse("Content-Type", "the body says that it is no JSON")
}
