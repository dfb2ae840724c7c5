package worker

import "time"

// Impatient gives children that do not do what they are told so long until stronger means are used.
func Impatient(c Command, after time.Duration) Command {
	c.killAfter = after
	return c
}
