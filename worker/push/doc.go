// Package push delivers tasks to HTTP endpoints (scheduler.Endpoint): for each a worker.Worker leases its kinds, and the
// handler is a POST.
//
//	endpoint row ──► line: worker.Worker ──► gate ──► lease ──► deliver: guard, sign, POST ──► answer ──► outcome
//	                                          ▲                                                  │ 202
//	                 TakeTurn: slots, rate, breaker, shared by all processes                     ▼
//	                                                        scheduler.Client.Accept: the receiver ends it, or its time
//
// Invariants. A delivery begins only with a slot that TakeTurn granted, so that concurrency, rate and the breaker hold over
// all processes, and tasks of an endpoint that is paused or open are not leased. No connection is made to an address that is
// not public, unless it is allowed by name: the address is checked when it is dialled, after the name was resolved. No
// redirect is followed, no proxy is used. What was accepted by 202 does not need the process any more. Secrets, payloads and answers never reach a log.
//
//	pusher, err := push.New(client, push.Config{Allow: []string{"localhost"}})
//	if err != nil {
//		return err
//	}
//	return pusher.Run(ctx) // beside client.Maintain(ctx), or a worker.Worker, in the same or in another process
package push
