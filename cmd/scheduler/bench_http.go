package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/internal/load/self"
	"github.com/pgscheduler/scheduler/scheduler"
)

// benchHTTP serves the API on a port of this machine and returns how to submit through it, on connections that are kept.
func (a *app) benchHTTP(ctx context.Context, client *scheduler.Client) (self.SubmitFunc, func(), error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	logger := a.warnings()
	handler, err := httpapi.New(client, httpapi.Config{Version: version().Version, Logger: logger})
	if err != nil {
		listener.Close()
		return nil, nil, err
	}
	life, end := context.WithCancel(ctx)
	var serving sync.WaitGroup
	serving.Go(func() { // until stop, which waits for it
		_ = httpapi.Serve(life, listener, handler, logger) // a submit tells what is wrong
	})
	transport := &http.Transport{MaxIdleConnsPerHost: 10_000}
	web := &http.Client{Transport: transport}
	stop := func() {
		transport.CloseIdleConnections()
		end()
		serving.Wait()
	}
	url := "http://" + listener.Addr().String() + "/v1/tasks"
	return func(ctx context.Context, task scheduler.NewTask) error { return post(ctx, web, url, task) }, stop, nil
}

// post submits kind, queue and payload of a task.
func post(ctx context.Context, web *http.Client, url string, task scheduler.NewTask) error {
	body, err := json.Marshal(map[string]any{"kind": task.Kind, "queue": task.Queue, "payload": task.Payload})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := web.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusAccepted {
		return fmt.Errorf("submit: %s: %s", response.Status, answer)
	}
	return err
}
