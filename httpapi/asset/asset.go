// Package asset serves files that are part of the program: by gzip, with a tag of their content, to be kept by browsers.
package asset

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Asset is a file that is part of the program. Safe for concurrent use.
type Asset struct {
	name, media, body string
	zipped            string // body by gzip
	Version           string // of its content
}

// New returns a file of a name, media type and content.
func New(name, media, body string) Asset {
	sum := sha256.Sum256([]byte(body))
	var zipped bytes.Buffer
	z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	_, err := io.WriteString(z, body)
	if err := errors.Join(err, z.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return Asset{name, media, body, zipped.String(), hex.EncodeToString(sum[:8])}
}

// Serve answers with the file, by gzip for those who take it, to be kept for a day; for good at an address with ?v= of its Version.
func (a Asset) Serve(w http.ResponseWriter, r *http.Request) {
	header, tag, body := w.Header(), a.Version, a.body
	if TakesGzip(r.Header.Values("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		tag, body = tag+"-gzip", a.zipped
	}
	header.Set("Content-Type", a.media)
	header.Set("Cache-Control", "public, max-age=86400")
	if r.URL.Query().Get("v") == a.Version {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	header.Set("Vary", "Accept-Encoding")
	header.Set("Etag", `"`+tag+`"`)
	http.ServeContent(w, r, a.name, time.Time{}, strings.NewReader(body))
}

// TakesGzip reports whether a client that sent Accept-Encoding takes gzip, as browsers do.
func TakesGzip(accept []string) bool {
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		coding, weight, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		q, given := strings.CutPrefix(strings.ToLower(strings.TrimSpace(weight)), "q=")
		n, err := strconv.ParseFloat(q, 64)
		return !given || err == nil && n > 0
	}
	return false
}
