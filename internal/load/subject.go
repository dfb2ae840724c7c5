package load

import "context"

// Subject is a queue under load. Its methods are safe for concurrent use.
type Subject interface {
	// Insert stores n tasks that are ready at once, durably, in as few statements as the queue knows how to.
	Insert(ctx context.Context, n int) error

	// Submit stores one task, durably, as an application does it that has one. The handler is given at.
	Submit(ctx context.Context, at int64) error

	// Work runs a worker with Setup.Slots whose handler calls handle and does nothing else, until stop is called. stop returns
	// once every outcome is stored.
	Work(ctx context.Context, handle func(at int64)) (stop func() error, err error)

	// Unfinished counts tasks that are not stored as completed: all of them, or cheaply, among the newest 25,000.
	Unfinished(ctx context.Context, all bool) (int64, error)

	// Analyze renews the planner's statistics.
	Analyze(ctx context.Context) error

	// Close ends all connections. A second one does nothing.
	Close()
}

// Setup is how a Subject is to be opened.
type Setup struct {
	Slots   int // handlers that run at once
	Clients int // goroutines that call Submit
	Payload int // bytes of JSON, about

	// Fail ends the run with an error. For a worker that ends by itself; may be called from any goroutine.
	Fail func(error)
}

// Args is the payload of every task.
type Args struct {
	At  int64  `json:"at"`  // nanoseconds since the start of the process that submitted it; 0: not measured
	Pad string `json:"pad"` // what makes it as long as it should be
}

// overhead is the JSON around Pad when At is not 0.
const overhead = len(`{"at":1234567890,"pad":""}`)

// Padding returns the Pad of payloads of the given size: letters and digits in an order that does not compress.
func Padding(size int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	pad := make([]byte, max(0, size-overhead))
	x := uint64(0x9e3779b97f4a7c15)
	for i := range pad { // xorshift64
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		pad[i] = alphabet[x%64]
	}
	return string(pad)
}
