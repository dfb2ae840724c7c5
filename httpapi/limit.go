package httpapi

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// farewell is how long what is under way may go on when the client has closed its side of the connection: some close it behind the
// request, and wait for the answer.
const farewell = 2 * time.Second

// goneKey finds, in the context of a request, the context that ends as soon as the client has closed its side.
type goneKey struct{}

// limit ends an operation that waits for the database for too long.
func (s *server) limit(ctx huma.Context, next func(huma.Context)) {
	limited, cancel := s.limited(ctx.Context(), ctx.Header("Prefer"))
	defer cancel()
	next(huma.WithContext(ctx, limited))
}

// limited bounds the time of a request.
func (s *server) limited(ctx context.Context, prefer string) (context.Context, context.CancelFunc) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience+seconds(parseWait(prefer)))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(farewell, cancel) }) // which nobody need wait for
	return context.WithValue(limited, goneKey{}, ctx), func() {
		stop()
		cancel()
	}
}
