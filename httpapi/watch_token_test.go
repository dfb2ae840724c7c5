package httpapi

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/proc"
	"github.com/pgscheduler/scheduler/scheduler"
)

// vectors are the watch tokens that every implementation must make and refuse.
type vectors struct {
	Now     int64
	Keys    map[string]string
	Derived []struct {
		Token  string
		Secret *string
	}
	Valid []struct {
		Name, Key, Token string
		Task             scheduler.TaskID
		ExpiresAt        int64 `json:"expires_at"`
		Shows            []string
	}
	Invalid []struct{ Name, Reason, Token string }
}

func readVectors(t testing.TB) (v vectors, keys watchKeys) {
	t.Helper()
	raw, err := os.ReadFile("../conformance/watch_tokens.json")
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	keys.secrets = map[string][]byte{}
	for id, secret := range v.Keys {
		if keys.secrets[id], err = hex.DecodeString(secret); err != nil {
			t.Fatal(err)
		}
	}
	return v, keys
}

func TestWatchTokens(t *testing.T) {
	t.Parallel()
	v, keys := readVectors(t)
	now := time.Unix(v.Now, 0)
	for _, d := range v.Derived {
		key, err := DeriveWatchKey(d.Token)
		if d.Secret == nil {
			if err == nil {
				t.Errorf("a key is derived from %q", d.Token)
			}
			continue
		}
		if got := hex.EncodeToString(key.Secret); err != nil || got != *d.Secret || key.ID != "d1" {
			t.Errorf("from %q: %s %s, %v", d.Token, key.ID, got, err)
		}
	}
	for _, test := range v.Valid {
		expires := time.Unix(test.ExpiresAt, 0)
		if got := (WatchKey{test.Key, keys.secrets[test.Key]}).Mint(test.Task, expires, shown(test.Shows)); got != test.Token {
			t.Errorf("%s: minted %s, want %s", test.Name, got, test.Token)
		}
		got, err := keys.read(test.Token, now)
		if err != nil || got.task != test.Task || !got.expires.Equal(expires) || got.shows != shown(test.Shows) {
			t.Errorf("%s: %v %v", test.Name, got, err)
		}
	}
	reasons := map[string]int{}
	for _, test := range v.Invalid {
		got, err := keys.read(test.Token, now)
		if err == nil || err.Error() != test.Reason || got != (grant{}) {
			t.Errorf("%s: %v %v, want %s", test.Name, got, err, test.Reason)
		}
		reasons[test.Reason]++
	}
	if len(v.Valid) < 3 || len(v.Derived) < 3 || len(reasons) != 5 {
		t.Errorf("too few vectors: %d valid, invalid %v", len(v.Valid), reasons)
	}
}

// TestWatchTokensElsewhere runs the tests of the clients, which read the same vectors.
func TestWatchTokensElsewhere(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		program, folder string
		args            []string
	}{
		{"php", "../clients/php", []string{"tests/watch_token.php"}},
		{"node", "../clients/node", []string{"--test", "watch.test.js"}},
	} {
		t.Run(test.program, func(t *testing.T) {
			t.Parallel()
			proc.Need(t, test.program)
			cmd := exec.CommandContext(t.Context(), test.program, test.args...)
			cmd.Dir = test.folder
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// FuzzWatchToken: what is read as a token is one that Mint makes, byte for byte, whatever came.
func FuzzWatchToken(f *testing.F) {
	v, keys := readVectors(f)
	for _, test := range v.Valid {
		f.Add(test.Token, false)
		f.Add(test.Token[:40], true)
	}
	for _, test := range v.Invalid {
		f.Add(test.Token, false)
	}
	now := time.Unix(v.Now, 0)
	f.Fuzz(func(t *testing.T, token string, sign bool) {
		if sign { // so that the fuzzer comes behind the signature
			raw, err := base64.RawURLEncoding.DecodeString(token)
			if err != nil {
				return
			}
			token = base64.RawURLEncoding.EncodeToString(append(raw, WatchKey{Secret: keys.secrets["k1"]}.sign(raw)...))
		}
		got, err := keys.read(token, now)
		if err != nil {
			return
		}
		expires := got.expires
		raw, _ := base64.RawURLEncoding.DecodeString(token)
		key := string(raw[2 : 2+raw[1]])
		again := WatchKey{key, keys.secrets[key]}.Mint(got.task, expires, got.shows)
		if again != token && expires.Unix() != lastSecond || !expires.After(now) {
			t.Errorf("%q is read as %v until %v, of which %q is made", token, got.task, expires, again)
		}
	})
}

func TestParseWatchKeys(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("\xfb\xff", 16)
	std, url := base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret))
	for _, text := range []string{"k2:" + std + ",k1:" + url, " k2:" + url + " , k1:" + std + "\n"} {
		keys, err := ParseWatchKeys(text)
		if err != nil || len(keys) != 2 || keys[0].ID != "k2" || string(keys[0].Secret) != secret || string(keys[1].Secret) != secret {
			t.Errorf("%q: %+v, %v", text, keys, err)
		}
	}
	for _, text := range []string{"k1", "k1:", ":" + std, "k 1:" + std, "k1:" + std + ",k1:" + std, "k1:" + std + ",", "k1:" + std[:40], "k1:SECRET!" + std,
		strings.Repeat("k", 33) + ":" + std} {
		if keys, err := ParseWatchKeys(text); err == nil {
			t.Errorf("%q: %+v", text, keys)
		} else if strings.Contains(err.Error(), std[:20]) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("the secret is in %q", err)
		}
	}
	if keys, err := ParseWatchKeys(" "); err != nil || keys != nil {
		t.Errorf("nothing: %+v, %v", keys, err)
	}
}

// TestWatchKeysOfAServer: any key is believed, the first signs; a server without keys has one of its own.
func TestWatchKeysOfAServer(t *testing.T) {
	t.Parallel()
	old, fresh := WatchKey{"k1", []byte(strings.Repeat("1", 32))}, WatchKey{"k2", []byte(strings.Repeat("2", 32))}
	now, id := time.Now(), scheduler.NewTaskID()
	build := func(config Config) watchKeys {
		t.Helper()
		keys, err := newWatchKeys(config)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	reads := func(k watchKeys, by watchKeys) bool {
		_, err := k.read(by.first.Mint(id, now.Add(time.Hour)), now)
		return err == nil
	}
	before, during, after := build(Config{WatchKeys: []WatchKey{old}}), build(Config{WatchKeys: []WatchKey{fresh, old}}), build(Config{WatchKeys: []WatchKey{fresh}})
	for _, test := range []struct {
		name     string
		of, with watchKeys
		want     bool
	}{
		{"old URL while keys change", before, during, true}, {"old URL afterwards", before, after, false}, {"new URL afterwards", during, after, true},
		{"derived from the same token", build(Config{Token: secret}), build(Config{Token: secret}), true},
		{"derived from another token", build(Config{Token: secret}), build(Config{Token: secret + "x"}), false},
		{"random", build(Config{}), build(Config{}), false},
		{"short token", build(Config{Token: "short"}), build(Config{Token: "short"}), false},
		{"given keys come before the token", build(Config{Token: secret, WatchKeys: []WatchKey{old}}), build(Config{Token: secret}), false},
	} {
		if got := reads(test.with, test.of); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	for source, config := range map[string]Config{"given": {WatchKeys: []WatchKey{old}, Token: secret}, "token": {Token: secret}, "process": {Token: "short"}} {
		if got := config.WatchKeySource(); got != source {
			t.Errorf("keys come from %s, want %s", got, source)
		}
	}
	for _, bad := range [][]WatchKey{{{"", old.Secret}}, {{"k1", old.Secret[1:]}}, {old, old}} {
		if _, err := newServer(nil, Config{WatchKeys: bad}); err == nil {
			t.Errorf("%v passes", bad)
		}
	}
}
