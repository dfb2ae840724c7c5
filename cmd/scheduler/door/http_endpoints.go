package door

import (
	"context"

	"github.com/pgscheduler/scheduler/httpapi"
)

func (d *httpDoor) Endpoints(ctx context.Context) ([]httpapi.Endpoint, error) {
	return items[httpapi.Endpoint](ctx, d, nil, "endpoints")
}

func (d *httpDoor) SetEndpoint(ctx context.Context, name string, r httpapi.EndpointRequest) (httpapi.Endpoint, error) {
	return call[httpapi.Endpoint](ctx, d, request{method: "PUT", path: []string{"endpoints", name}, body: r})
}

func (d *httpDoor) PauseEndpoint(ctx context.Context, name string) (httpapi.Endpoint, error) {
	return call[httpapi.Endpoint](ctx, d, request{method: "POST", path: []string{"endpoints", name, "pause"}})
}

func (d *httpDoor) ResumeEndpoint(ctx context.Context, name string) (httpapi.Endpoint, error) {
	return call[httpapi.Endpoint](ctx, d, request{method: "POST", path: []string{"endpoints", name, "resume"}})
}

func (d *httpDoor) DeleteEndpoint(ctx context.Context, name string) error {
	_, err := call[struct{}](ctx, d, request{method: "DELETE", path: []string{"endpoints", name}})
	return err
}
