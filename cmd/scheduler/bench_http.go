package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
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
	transport := &http.Transport{MaxIdleConnsPerHost: 10_000, DisableCompression: true} // as many connections as clients
	stop := func() {
		transport.CloseIdleConnections()
		end()
		serving.Wait()
	}
	to := &url.URL{Scheme: "http", Host: listener.Addr().String(), Path: "/v1/tasks"}
	return poster{web: &http.Client{Transport: transport}, to: to, header: http.Header{"Content-Type": {"application/json"}}}.post, stop, nil
}

// poster submits by HTTP. What is the same for every request is made once: a benchmark should measure the server.
type poster struct {
	web    *http.Client
	to     *url.URL
	header http.Header // nobody changes it: requests share it
}

// post submits kind, queue and payload of a task.
func (p poster) post(ctx context.Context, task scheduler.NewTask) error {
	body, err := json.Marshal(struct {
		Kind    string          `json:"kind"`
		Queue   scheduler.Queue `json:"queue"`
		Payload any             `json:"payload"`
	}{task.Kind, task.Queue, task.Payload})
	if err != nil {
		return err
	}
	request := &http.Request{Method: http.MethodPost, URL: p.to, Header: p.header, ContentLength: int64(len(body)),
		Body: io.NopCloser(bytes.NewReader(body))}
	response, err := p.web.Do(request.WithContext(ctx))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		answer, err := io.ReadAll(response.Body)
		return errors.Join(fmt.Errorf("submit: %s: %s", response.Status, answer), err)
	}
	_, err = io.Copy(io.Discard, response.Body) // to its end, or the connection can't be kept
	return err
}
