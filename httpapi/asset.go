package httpapi

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

// asset is a file that is part of the program.
type asset struct {
	name, media, body string
	zipped            string // body by gzip
	Version           string // of its content
}

func newAsset(name, media, body string) asset {
	sum := sha256.Sum256([]byte(body))
	var zipped bytes.Buffer
	z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	_, err := io.WriteString(z, body)
	if err := errors.Join(err, z.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return asset{name, media, body, zipped.String(), hex.EncodeToString(sum[:8])}
}

// serve answers with the file, by gzip for those who take it, to be kept for a day.
func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	header, tag, body := w.Header(), a.Version, a.body
	if takesGzip(r.Header.Values("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		tag, body = tag+"-gzip", a.zipped
	}
	header.Set("Content-Type", a.media)
	header.Set("Cache-Control", "public, max-age=86400")
	header.Set("Vary", "Accept-Encoding")
	header.Set("Etag", `"`+tag+`"`)
	http.ServeContent(w, r, a.name, time.Time{}, strings.NewReader(body))
}

// takesGzip reports whether a client that sent Accept-Encoding takes gzip, as browsers do.
func takesGzip(accept []string) bool {
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
