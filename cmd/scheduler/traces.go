package main

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/pgscheduler/scheduler/scheduler"
)

// tracesWithin bounds the sending of the last spans at the end of the process.
const tracesWithin = 5 * time.Second

// exportTraces sends spans where the environment says, by OTLP over HTTP; the variables are those of OpenTelemetry. end sends
// what is left.
func (a *app) exportTraces(ctx context.Context) (end func()) {
	if a.env("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && a.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" || a.env("OTEL_SDK_DISABLED") == "true" {
		return func() {}
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { slog.Warn("export traces", slog.Any("err", err)) }))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		slog.Error("export traces", slog.Any("err", err))
		return func() {}
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "scheduler"),
		attribute.String("service.version", version().Version)), resource.WithHost(), resource.WithFromEnv())
	if err != nil { // some of it is missing; the rest is there
		slog.Warn("export traces", slog.Any("err", err))
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	otel.SetTracerProvider(provider)
	return func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesWithin)
		defer cancel()
		if err := provider.Shutdown(last); err != nil {
			slog.Warn("export traces", slog.Any("err", err))
		}
	}
}

// traced is the context of a command that makes tasks: they belong to the trace that the environment names.
func (a *app) traced(ctx context.Context) context.Context {
	return scheduler.WithTraceParent(ctx, a.env("TRACEPARENT"))
}
