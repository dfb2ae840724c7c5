package httpapi

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
)

// BenchmarkSubmit is what one durable submit costs over HTTP with 32 clients at once: client, server and PostgreSQL together.
func BenchmarkSubmit(b *testing.B) {
	client, err := scheduler.Open(b.Context(), scheduler.Config{DatabaseURL: pgtest.DB(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	s, err := newServer(client, Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	web := httptest.NewServer(s)
	defer web.Close()
	caller := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			response, err := caller.Post(web.URL+"/v1/tasks", mediaJSON, strings.NewReader(`{"kind":"report.generate","payload":{"report_id":42}}`))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode != http.StatusAccepted {
				b.Errorf("status %d", response.StatusCode)
			}
		}
	})
}

// BenchmarkDecode is what the strict reading of a body costs.
func BenchmarkDecode(b *testing.B) {
	s, err := newServer(nil, Config{})
	if err != nil {
		b.Fatal(err)
	}
	body := []byte(`{"kind":"report.generate","payload":{"report_id":42},"queue":"reports","priority":3,"delay_ms":1000}`)
	for b.Loop() {
		if _, err := s.submits.one(body); err != nil {
			b.Fatal(err)
		}
	}
}
