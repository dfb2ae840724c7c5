package httpapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// A watch token is a capability: who has it may look at one task until it expires, and do nothing else. No row stands for it,
// so that a program in any language can make one with the key (clients/, conformance/watch_tokens.json). Its bytes, written
// as base64url without padding:
//
//	 1      version, 1
//	 1      n, length of the key's id
//	 n      the key's id, ASCII
//	16      the task's id
//	 8      when it expires: seconds since 1970, big-endian
//	32      HMAC-SHA256 of all bytes before, with the key's secret
const (
	watchVersion  = 1
	watchTaskSize = 16
	watchTimeSize = 8
	maxWatchToken = 200 // characters; no token has as many
	lastSecond    = 253402300799
)

// Why a token is none, in the words of the test vectors. No answer says which: the problem is watch_not_found.
var (
	errWatchMalformed = errors.New("malformed")
	errWatchVersion   = errors.New("version")
	errWatchKey       = errors.New("key")
	errWatchSignature = errors.New("signature")
	errWatchExpired   = errors.New("expired")
)

// Mint returns a token under which a server that has the key shows the task, at /watch/ and the token, until the second in which
// expires lies. It does not look whether the key is one that a server takes, or whether there is such a task.
func (k WatchKey) Mint(id scheduler.TaskID, expires time.Time) string {
	b := make([]byte, 0, 2+len(k.ID)+watchTaskSize+watchTimeSize+sha256.Size)
	b = append(b, watchVersion, byte(len(k.ID)))
	b = append(b, k.ID...)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(expires.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, k.sign(b)...))
}

func (k WatchKey) sign(b []byte) []byte {
	mac := hmac.New(sha256.New, k.Secret)
	mac.Write(b)
	return mac.Sum(nil)
}

// read returns what a token stands for. Every token has one spelling: what decodes to the same bytes otherwise is malformed.
func (k watchKeys) read(token string, now time.Time) (id scheduler.TaskID, expires time.Time, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(token) > maxWatchToken || len(b) < 2 || base64.RawURLEncoding.EncodeToString(b) != token {
		return id, expires, errWatchMalformed
	}
	if b[0] != watchVersion {
		return id, expires, errWatchVersion
	}
	n := 2 + int(b[1])
	signed := n + watchTaskSize + watchTimeSize
	if len(b) != signed+sha256.Size {
		return id, expires, errWatchMalformed
	}
	secret, known := k.secrets[string(b[2:n])]
	if !known {
		return id, expires, errWatchKey
	}
	if !hmac.Equal(WatchKey{Secret: secret}.sign(b[:signed]), b[signed:]) {
		return id, expires, errWatchSignature
	}
	seconds := binary.BigEndian.Uint64(b[n+watchTaskSize:])
	if seconds <= uint64(max(now.Unix(), 0)) {
		return id, expires, errWatchExpired
	}
	copy(id[:], b[n:])
	return id, time.Unix(int64(min(seconds, lastSecond)), 0), nil
}
