package httpapi

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
)

// WatchKey signs watch URLs.
type WatchKey struct {
	ID     string // 1 to 32 letters, digits, _ and -; stands in each URL
	Secret []byte // at least 32 random bytes
}

const (
	leastSecret = 32                   // bytes
	leastToken  = 16                   // bytes of an API token that a key is derived from: whoever has a URL may try to guess it
	watchInfo   = "scheduler watch v1" // of HKDF
	derivedID   = "d1"                 // of the key derived from the API token
	randomID    = "r1"                 // of the key of a process
)

var watchKeyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// ParseWatchKeys reads id:secret pairs with commas between them, the secrets in base64 of either alphabet, with or without
// padding. "": none. The error never shows a secret.
func ParseWatchKeys(text string) (keys []WatchKey, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	for i, pair := range strings.Split(text, ",") {
		id, secret, ok := strings.Cut(strings.TrimSpace(pair), ":")
		if !ok {
			return nil, fmt.Errorf("watch key %d has no colon between its id and its secret", i+1)
		}
		secret = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(secret, "="))
		raw, err := base64.RawURLEncoding.DecodeString(secret)
		if err != nil {
			return nil, fmt.Errorf("the secret of watch key %d is not base64", i+1)
		}
		keys = append(keys, WatchKey{ID: id, Secret: raw})
	}
	return keys, checkWatchKeys(keys)
}

func checkWatchKeys(keys []WatchKey) error {
	seen := map[string]bool{}
	for i, key := range keys {
		switch {
		case !watchKeyID.MatchString(key.ID):
			return fmt.Errorf("the id of watch key %d is not 1 to 32 letters, digits, _ and -", i+1)
		case seen[key.ID]:
			return fmt.Errorf("two watch keys have the id %s", key.ID)
		case len(key.Secret) < leastSecret:
			return fmt.Errorf("the secret of watch key %s has %d bytes, and needs %d: openssl rand -base64 32 makes one", key.ID, len(key.Secret), leastSecret)
		}
		seen[key.ID] = true
	}
	return nil
}

// DeriveWatchKey returns the key that a server uses which has the API token and no WatchKeys: HKDF-SHA256 of the token without
// salt, info "scheduler watch v1", 32 bytes; id d1. A token of less than 16 bytes is an error: a watch URL is given to
// strangers, who could try short ones until its signature fits.
func DeriveWatchKey(token string) (WatchKey, error) {
	if len(token) < leastToken {
		return WatchKey{}, fmt.Errorf("an API token of %d bytes is too short to derive a key from, it needs %d", len(token), leastToken)
	}
	secret, err := hkdf.Key(sha256.New, []byte(token), nil, watchInfo, leastSecret)
	return WatchKey{ID: derivedID, Secret: secret}, err
}

// WatchKeySource says where the keys of watch URLs come from: "given"; "token", derived from it; or "process", random, so that
// the URLs of a server end with it and are unknown to others.
func (c Config) WatchKeySource() string {
	switch {
	case len(c.WatchKeys) > 0:
		return "given"
	case len(c.Token) >= leastToken:
		return "token"
	}
	return "process"
}

// watchKeys signs with one key and knows all.
type watchKeys struct {
	first   WatchKey
	secrets map[string][]byte // by id
}

func newWatchKeys(config Config) (k watchKeys, err error) {
	list := config.WatchKeys
	if err := checkWatchKeys(list); err != nil {
		return k, fmt.Errorf("httpapi: Config.WatchKeys: %w", err)
	}
	switch config.WatchKeySource() {
	case "token":
		key, err := DeriveWatchKey(config.Token)
		if err != nil {
			return k, err
		}
		list = []WatchKey{key}
	case "process":
		secret := make([]byte, leastSecret)
		_, _ = rand.Read(secret) // never fails
		list = []WatchKey{{ID: randomID, Secret: secret}}
	}
	k = watchKeys{first: list[0], secrets: map[string][]byte{}}
	for _, key := range list {
		k.secrets[key.ID] = key.Secret
	}
	return k, nil
}
