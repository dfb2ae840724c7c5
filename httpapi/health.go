package httpapi

import (
	"context"
	"encoding/json"
	"runtime"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Paths that need no token.
const (
	pathHealth = "/healthz"
	pathReady  = "/readyz"
)

// Health says that the process answers.
type Health struct {
	Status string `json:"status" enum:"ok,ready"`
}

// Version is what runs here.
type Version struct {
	Version string `json:"version"`
	Schema  int64  `json:"schema" doc:"Version of the database's schema that it works with."`
	Go      string `json:"go"`
}

func (s *server) registerHealth(api huma.API) {
	nobody := []map[string][]string{{}}
	handle(s, api, operation{Operation: huma.Operation{OperationID: "health", Method: "GET", Path: pathHealth, Tags: []string{"server"}, Security: nobody,
		Summary: "Whether the process answers; the database is not asked"}}, s.health)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "ready", Method: "GET", Path: pathReady, Tags: []string{"server"}, Security: nobody,
		Summary: "Whether the database answers and its schema fits"}, codes: []Code{CodeDatabaseUnavailable, CodeSchemaMismatch, CodeTimeout}}, s.ready)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "version", Method: "GET", Path: "/version", Tags: []string{"server"},
		Summary: "What runs here"}}, s.versions)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "openapi", Method: "GET", Path: "/openapi.json", Tags: []string{"server"},
		Summary: "This document"}}, s.openapi)
}

func (s *server) health(context.Context, *struct{}) (*output[Health], error) {
	return &output[Health]{Health{Status: "ok"}}, nil
}

func (s *server) ready(ctx context.Context, _ *struct{}) (*output[Health], error) {
	if err := s.client.CheckSchema(ctx); err != nil {
		return nil, err
	}
	return &output[Health]{Health{Status: "ready"}}, nil
}

func (s *server) versions(context.Context, *struct{}) (*output[Version], error) {
	return &output[Version]{Version{Version: s.version, Schema: scheduler.SchemaVersion, Go: runtime.Version()}}, nil
}

func (s *server) openapi(context.Context, *struct{}) (*output[json.RawMessage], error) {
	return &output[json.RawMessage]{s.document}, nil
}
