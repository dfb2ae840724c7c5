package push

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// The deliveries that receivers in all languages are held to are signed as this package signs.
func TestDeliveriesOfTheVectors(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../conformance/deliveries.json")
	if err != nil {
		t.Fatal(err)
	}
	type delivery struct {
		Name    string
		Secrets []string
		Headers map[string]string
		Body    string
	}
	var vectors struct {
		BadSecrets []string `json:"bad_secrets"`
		Valid      []delivery
		Invalid    []delivery
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Valid) < 10 || len(vectors.Invalid) < 25 || len(vectors.BadSecrets) < 5 {
		t.Fatalf("%d, %d and %d vectors", len(vectors.Valid), len(vectors.Invalid), len(vectors.BadSecrets))
	}
	signed := func(d delivery) bool {
		header := map[string]string{}
		for name, value := range d.Headers {
			header[strings.TrimPrefix(strings.ReplaceAll(strings.ToLower(name), "_", "-"), "http-")] = value
		}
		seconds, err := strconv.ParseInt(header["webhook-timestamp"], 10, 64)
		return err == nil && slices.ContainsFunc(d.Secrets, func(secret string) bool {
			key, err := scheduler.SecretKey(secret)
			if err != nil {
				t.Fatal(err)
			}
			mine := sign([][]byte{key}, header["webhook-id"], time.Unix(seconds, 0), []byte(d.Body))
			return slices.Contains(strings.Fields(header["webhook-signature"]), mine)
		})
	}
	for _, d := range vectors.Valid {
		if !signed(d) {
			t.Errorf("%s: not signed as it should be", d.Name)
		}
	}
	for _, d := range vectors.Invalid {
		if old := strings.HasPrefix(d.Name, "301") || strings.HasPrefix(d.Name, "signed, ") || strings.HasSuffix(d.Name, " 1800000000") || strings.HasSuffix(d.Name, "+1800000000"); signed(d) && !old {
			t.Errorf("%s: signed after all", d.Name)
		}
	}
	for _, secret := range vectors.BadSecrets {
		if _, err := scheduler.SecretKey(secret); err == nil {
			t.Errorf("%q is taken", secret)
		}
	}
}
