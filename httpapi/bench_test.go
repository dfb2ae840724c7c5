package httpapi

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// BenchmarkLeases is what a task costs that remote workers take and complete over HTTP: four by the hundred, and 32 one by one.
func BenchmarkLeases(b *testing.B) {
	b.Run("by-hundred", func(b *testing.B) { benchLeases(b, 4, 100) })
	b.Run("one-by-one", func(b *testing.B) { benchLeases(b, 32, 1) })
}

func benchLeases(b *testing.B, workers, most int) {
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
	tasks := make([]scheduler.NewTask, 1000)
	for i := range tasks {
		tasks[i] = scheduler.NewTask{Kind: "k", Payload: json.RawMessage(`{"report_id":42}`)}
	}
	for n := 0; n < b.N; n += len(tasks) {
		if _, err := client.SubmitMany(b.Context(), tasks); err != nil {
			b.Fatal(err)
		}
	}
	caller := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.ResetTimer()
	var ended sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(b.N))
	for range workers {
		ended.Go(func() { // ends when all are done
			id := scheduler.NewWorkerID().String()
			for left.Load() > 0 {
				got := postFor[Leases](b, caller, web.URL+"/v1/leases", `{"worker":{"id":"`+id+`"},"kinds":["k"],"max":`+strconv.Itoa(most)+`,"held":[]}`)
				if len(got.Leases) == 0 {
					return
				}
				items := make([]string, len(got.Leases))
				for i, its := range got.Leases {
					items[i] = `{"lease":"` + its.Lease + `","op":"complete","result":{"ok":true}}`
				}
				postFor[LeaseResults](b, caller, web.URL+"/v1/leases/batch", `{"items":[`+strings.Join(items, ",")+`]}`)
				left.Add(-int64(len(items)))
			}
		})
	}
	ended.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

func postFor[T any](b *testing.B, caller *http.Client, url, body string) (value T) {
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		b.Error(err)
		return value
	}
	request.Header.Set("Content-Type", mediaJSON)
	request.Header.Set("Prefer", "wait=1")
	response, err := caller.Do(request)
	if err != nil {
		b.Error(err)
		return value
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&value); err != nil || response.StatusCode != http.StatusOK {
		b.Errorf("status %d, %v", response.StatusCode, err)
	}
	return value
}
