package door

import (
	"context"

	"github.com/pgscheduler/scheduler/httpapi"
)

func (d *sqlDoor) Endpoints(ctx context.Context) ([]httpapi.Endpoint, error) {
	return wires(httpapi.NewEndpoint)(d.client.Endpoints(ctx))
}

func (d *sqlDoor) SetEndpoint(ctx context.Context, name string, r httpapi.EndpointRequest) (httpapi.Endpoint, error) {
	given := map[string]bool{"concurrency": zero(r.Concurrency), "rate": zero(r.Rate), "timeout_ms": zero(r.TimeoutMS), "complete_within_ms": zero(r.CompleteWithinMS),
		"breaker_failures": zero(r.BreakerFailures), "breaker_pause_ms": zero(r.BreakerPauseMS)}
	if err := checkGiven(given); err != nil {
		return httpapi.Endpoint{}, err
	}
	e, secret, err := d.client.SetEndpoint(ctx, r.NewEndpoint(name))
	wire := httpapi.NewEndpoint(e)
	if secret != "" {
		wire.Secret = &secret
	}
	return wire, err
}

func (d *sqlDoor) PauseEndpoint(ctx context.Context, name string) (httpapi.Endpoint, error) {
	if err := d.client.PauseEndpoint(ctx, name); err != nil {
		return httpapi.Endpoint{}, err
	}
	e, err := d.client.Endpoint(ctx, name)
	return httpapi.NewEndpoint(e), err
}

func (d *sqlDoor) ResumeEndpoint(ctx context.Context, name string) (httpapi.Endpoint, error) {
	if err := d.client.ResumeEndpoint(ctx, name); err != nil {
		return httpapi.Endpoint{}, err
	}
	e, err := d.client.Endpoint(ctx, name)
	return httpapi.NewEndpoint(e), err
}

func (d *sqlDoor) DeleteEndpoint(ctx context.Context, name string) error {
	return d.client.DeleteEndpoint(ctx, name)
}
