// Package ui is the dashboard: what a person sees of the tasks in a browser, and may do to them. It is rendered on the server
// (templates/), works with links and forms alone, and is made live by one small module (static/app.js), which patches rows from
// the streams of the API and reads the regions of a page again.
//
//	GET /tasks?state=failed ─► ServeHTTP: session ─► mux ─► tasks(r) ─► screen{data, wire, sql} ─┬─► templates/tasks.html
//	GET /tasks.json                                                                            └─► JSON, as the API has it
//	POST /tasks/act ─► acts(r) ─► scheduler.Client ─► 303 back to the page, with a sentence on what was done
//
// Invariants: no page reads more rows than it says; whatever came from outside is text, never markup; nothing is inline, so
// that the Content-Security-Policy needs no exception; a GET changes nothing. Requests reach this package only through the
// gate of httpapi, which refuses those of other origins and, without a token, those by other names than this machine's.
//
//	pages, err := ui.New(ui.Config{Client: client, Token: token})
//	if err != nil {
//		return err
//	}
//	if ui.Takes(r.URL.Path) {
//		pages.ServeHTTP(w, r)
//	}
package ui
