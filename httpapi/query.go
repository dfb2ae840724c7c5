package httpapi

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

func hasQuery(r *http.Request) bool { return r.URL.RawQuery != "" && len(r.URL.Query()) > 0 }

// checkQuery refuses a query that can't be read, or gives a parameter twice; huma refuses unknown ones. It joins the lines
// of headers that are lists.
func checkQuery(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	for _, name := range []string{"Prefer", "If-None-Match"} {
		if lines := r.Header.Values(name); len(lines) > 1 {
			r.Header.Set(name, strings.Join(lines, ", "))
		}
	}
	_, faults := parameters(r)
	if lines := r.Header.Values("Idempotency-Key"); len(lines) > 1 {
		faults = append(faults, Detail{Header: "Idempotency-Key", Detail: "given twice"})
	}
	if faults != nil {
		invalid(faults...).write(w, r)
		return
	}
	next(ctx)
}

// parameters reads a query, in which a parameter may come twice only if it is a list.
func parameters(r *http.Request, lists ...string) (url.Values, []Detail) {
	var faults []Detail
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		faults = append(faults, Detail{Detail: "the query can't be read: " + err.Error()})
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(query[name]) > 1 && !slices.Contains(lists, name) {
			faults = append(faults, Detail{Parameter: name, Detail: "given twice"})
		}
	}
	return query, faults
}

// strictly reads the query of a route that is not huma's, with the parameters that it knows.
func strictly(r *http.Request, known, lists []string) (url.Values, *Problem) {
	query, faults := parameters(r, lists...)
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(known, name) && !slices.Contains(lists, name) {
			faults = append(faults, Detail{Parameter: name, Detail: "unknown query parameter"})
		}
	}
	if faults != nil {
		return nil, invalid(faults...)
	}
	return query, nil
}
