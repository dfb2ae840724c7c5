//go:build !unix

package load

import "time"

// ClientCPU is unknown here: 0.
func ClientCPU() time.Duration { return 0 }
