package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	headerWithin = 5 * time.Second // of a request
	writeWithin  = 2 * time.Minute // from the end of the header to the end of the answer; longer than the longest wait
	idleFor      = 2 * time.Minute // between two requests of a connection
	maxHeader    = 32 << 10        // bytes
	drainWithin  = 10 * time.Second
)

// stopKey finds, in the context of a request, the context that ends when the server should stop; connKey its connection.
type (
	stopKey struct{}
	connKey struct{}
)

// Serve answers requests on the listener until ctx ends. Then it takes no more, lets those under way finish, cuts off what
// has not after 10 s, and returns nil; the listener is closed. Other errors are the listener's. Clients that merely wait
// (Prefer: wait) are answered when ctx ends. nil logger: slog.Default().
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, logger *slog.Logger) error {
	if logger == nil {
		logger = slog.Default()
	}
	work := context.WithValue(context.WithoutCancel(ctx), stopKey{}, ctx)
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerWithin, WriteTimeout: writeWithin, IdleTimeout: idleFor, MaxHeaderBytes: maxHeader,
		ErrorLog:    slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return work },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }() // ends by Shutdown at the latest; both receives below wait for it
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	err := server.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-ended
	return err
}
