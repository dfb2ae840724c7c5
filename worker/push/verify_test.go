package push_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// verify does what the verifier of Standard Webhooks does, with each secret alone.
func verify(t *testing.T, header http.Header, body string, secrets ...string) {
	t.Helper()
	seconds, err := strconv.ParseInt(header.Get("Webhook-Timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		t.Errorf("timestamp %s, %v", header.Get("Webhook-Timestamp"), err)
	}
	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(header.Get("Webhook-Id") + "." + header.Get("Webhook-Timestamp") + "." + body))
		found := false
		for signature := range strings.FieldsSeq(header.Get("Webhook-Signature")) {
			version, text, _ := strings.Cut(signature, ",")
			got, err := base64.StdEncoding.DecodeString(text)
			found = found || err == nil && version == "v1" && hmac.Equal(got, mac.Sum(nil))
		}
		if !found {
			t.Errorf("no signature of %q is by that secret", header.Get("Webhook-Signature"))
		}
	}
}
