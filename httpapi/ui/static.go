package ui

import (
	"compress/gzip"
	"embed"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/pgscheduler/scheduler/httpapi/asset"
)

//go:embed static
var static embed.FS

// files are those of the folder static, by name.
var files = map[string]asset.Asset{
	"app.css":  file("app.css", "text/css; charset=utf-8"),
	"app.js":   file("app.js", "text/javascript; charset=utf-8"),
	"icon.svg": file("icon.svg", "image/svg+xml"),
}

func file(name, media string) asset.Asset {
	body, err := static.ReadFile("static/" + name)
	if err != nil {
		panic(err) // the compiler put it there
	}
	return asset.New(name, media, string(body))
}

// address is where a file is for as long as it stays what it is.
func address(name string) string { return "/static/" + name + "?v=" + files[name].Version }

// build tells one version of the pages from another, as far as their style and module go.
var build = files["app.css"].Version + files["app.js"].Version

const worthZipping = 1 << 10 // bytes

// zippers are spare ones: each holds some 800 KiB.
var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is one
	return z
}}

// send answers with a body, by gzip for those who take it.
func send(w http.ResponseWriter, r *http.Request, status int, media string, body []byte) {
	header := w.Header()
	header.Set("Content-Type", media)
	header.Add("Vary", "Accept-Encoding")
	if len(body) < worthZipping || !asset.TakesGzip(r.Header.Values("Accept-Encoding")) {
		header.Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body) // the browser may be gone
		return
	}
	header.Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	z := zippers.Get().(*gzip.Writer)
	defer zippers.Put(z)
	z.Reset(w)
	_, _ = z.Write(body)
	_ = z.Close()
	z.Reset(io.Discard)
}
