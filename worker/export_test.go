package worker

import "time"

// Patience is how long a worker that is told to end waits for what it has begun.
const Patience = patience

// Impatient gives children that do not do what they are told so long until stronger means are used.
func Impatient(c Command, after time.Duration) Command {
	c.killAfter = after
	return c
}
