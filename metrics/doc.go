// Package metrics shows what happens in numbers, for Prometheus: what this process did (scheduler.Client.Counts,
// worker.Worker.Counts), what all processes together look like (scheduler.Client.Survey), and the Go runtime.
//
//	scrape ──► process: counters of client and worker, no database
//	      └──► survey: one round trip, at most one in 5 s whatever scrapes come
//
// A survey that fails is a metric, not a failed scrape: scheduler_survey_up is 0 and what was to be read is left out. Every
// label has bounded values: kinds and queues beyond the first 200 that were seen are counted as "other".
//
//	handler := metrics.New(metrics.Config{Client: client, Worker: w}) // w may be nil
//	http.Handle("/metrics", handler)
package metrics
