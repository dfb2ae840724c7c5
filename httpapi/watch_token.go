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
//	 1      version: 1, or 2 with a byte of what it shows besides
//	 1      n, length of the key's id
//	 n      the key's id, ASCII
//	16      the task's id
//	 8      when it expires: seconds since 1970, big-endian
//	 1      of version 2: the sum of 1, log lines, and 2, the result; never 0
//	32      HMAC-SHA256 of all bytes before, with the key's secret
const (
	watchPlain    = 1 // version
	watchShowing  = 2 // version
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

// WatchShow is something of a task that a watch token shows besides how far it is and how it ended.
type WatchShow byte

// What a watch token can show besides.
const (
	ShowLines  WatchShow = 1 << iota // the log, in the stream of events
	ShowResult                       // the result
)

// Mint returns a token under which a server that has the key shows the task, at /watch/ and the token, until the second in which
// expires lies. It does not look whether the key is one that a server takes, or whether there is such a task.
func (k WatchKey) Mint(id scheduler.TaskID, expires time.Time, shows ...WatchShow) string {
	var all WatchShow
	for _, show := range shows {
		all |= show & (ShowLines | ShowResult)
	}
	version := byte(watchPlain)
	if all != 0 {
		version = watchShowing
	}
	b := make([]byte, 0, 3+len(k.ID)+watchTaskSize+watchTimeSize+sha256.Size)
	b = append(b, version, byte(len(k.ID)))
	b = append(b, k.ID...)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(expires.Unix()))
	if all != 0 {
		b = append(b, byte(all))
	}
	return base64.RawURLEncoding.EncodeToString(append(b, k.sign(b)...))
}

func (k WatchKey) sign(b []byte) []byte {
	mac := hmac.New(sha256.New, k.Secret)
	mac.Write(b)
	return mac.Sum(nil)
}

// grant is what a token stands for.
type grant struct {
	task    scheduler.TaskID
	expires time.Time
	shows   WatchShow
}

// read returns what a token stands for. Every token has one spelling: what decodes to the same bytes otherwise is malformed.
func (k watchKeys) read(token string, now time.Time) (g grant, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(token) > maxWatchToken || len(b) < 2 || base64.RawURLEncoding.EncodeToString(b) != token {
		return grant{}, errWatchMalformed
	}
	n := 2 + int(b[1])
	signed := n + watchTaskSize + watchTimeSize
	switch b[0] {
	case watchPlain:
	case watchShowing:
		signed++
	default:
		return grant{}, errWatchVersion
	}
	if len(b) != signed+sha256.Size {
		return grant{}, errWatchMalformed
	}
	secret, known := k.secrets[string(b[2:n])]
	if !known {
		return grant{}, errWatchKey
	}
	if !hmac.Equal(WatchKey{Secret: secret}.sign(b[:signed]), b[signed:]) {
		return grant{}, errWatchSignature
	}
	if b[0] == watchShowing {
		if g.shows = WatchShow(b[signed-1]); g.shows == 0 || g.shows > ShowLines|ShowResult {
			return grant{}, errWatchMalformed
		}
	}
	seconds := binary.BigEndian.Uint64(b[n+watchTaskSize:])
	if seconds <= uint64(max(now.Unix(), 0)) {
		return grant{}, errWatchExpired
	}
	copy(g.task[:], b[n:])
	g.expires = time.Unix(int64(min(seconds, lastSecond)), 0)
	return g, nil
}
