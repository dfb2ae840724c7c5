package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// submitted is what the demo reads of the API's answer.
type submitted struct {
	ID string `json:"id"`

	status   string
	replayed bool
}

// submit sends the parent task over HTTP, twice with the same key: there must be one task.
func (d *demo) submit(ctx context.Context) error {
	body, err := json.Marshal(map[string]any{"kind": kindSplit, "payload": splitArgs{Tree: d.tree}})
	if err != nil {
		return err
	}
	key := "count-" + d.version
	d.screen.say("")
	d.screen.say("POST /v1/tasks %s", body)
	d.screen.say("Idempotency-Key: %s", key)
	first, err := d.post(ctx, body, key)
	if err != nil {
		return err
	}
	d.screen.say("  %s, task %s", first.status, first.ID)
	again, err := d.post(ctx, body, key)
	if err != nil {
		return err
	}
	if again.ID != first.ID || !again.replayed {
		return fmt.Errorf("the same request with the same key made a second task: %s", again.ID)
	}
	d.screen.say("  sent once more: %s, the same task (Idempotency-Replayed: true)", again.status)
	d.screen.say("")
	return nil
}

func (d *demo) post(ctx context.Context, body []byte, key string) (submitted, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.api+"/v1/tasks", bytes.NewReader(body))
	if err != nil {
		return submitted{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return submitted{}, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return submitted{}, err
	}
	s := submitted{status: response.Status, replayed: response.Header.Get("Idempotency-Replayed") == "true"}
	if response.StatusCode/100 != 2 {
		return s, fmt.Errorf("POST /v1/tasks: %s\n%s", response.Status, strings.TrimSpace(string(answer)))
	}
	if err := json.Unmarshal(answer, &s); err != nil || s.ID == "" {
		return s, fmt.Errorf("POST /v1/tasks: the answer is not a task: %s", answer)
	}
	return s, nil
}
