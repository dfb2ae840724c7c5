package scheduler

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// tokenVersion is the first byte of a token: what follows is worker, task, attempt (4 bytes, big-endian) and the queue.
const tokenVersion = 1

// ErrBadToken is returned by ParseLeaseToken for what no Lease.Token has made.
var ErrBadToken = errors.New("no token of a lease")

// Token is the lease as one opaque word, letters, digits, - and _, for whoever works on the task in another process. It proves
// nothing and is no secret: like every write under the lease, its use is guarded by the row, and it dies with the attempt.
func (l Lease) Token() string {
	b := append([]byte{tokenVersion}, l.Worker[:]...)
	b = append(b, l.Task[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(l.Attempt))
	return base64.RawURLEncoding.EncodeToString(append(b, l.Queue...))
}

// ParseLeaseToken is the inverse of Lease.Token. It returns ErrBadToken.
func ParseLeaseToken(token string) (Lease, error) {
	const fixed = 1 + 16 + 16 + 4
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) <= fixed || b[0] != tokenVersion {
		return Lease{}, ErrBadToken
	}
	l := Lease{Worker: WorkerID(b[1:17]), Task: TaskID(b[17:33]), Attempt: int(binary.BigEndian.Uint32(b[33:fixed])), Queue: Queue(b[fixed:])}
	if !ValidQueue(l.Queue) || l.Attempt < 1 || l.Attempt > 1<<31-1 {
		return Lease{}, ErrBadToken
	}
	return l, nil
}
