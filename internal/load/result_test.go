package load

import (
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestPercentilesByNearestRank(t *testing.T) {
	t.Parallel()
	milliseconds := func(n int) (list []time.Duration) {
		for i := n; i > 0; i-- {
			list = append(list, time.Duration(i)*time.Millisecond)
		}
		return list
	}
	for _, c := range []struct {
		n             int
		p50, p95, p99 float64
	}{{1, 1, 1, 1}, {2, 1, 2, 2}, {100, 50, 95, 99}, {200, 100, 190, 198}, {1000, 500, 950, 990}} {
		var r Result
		r.Percentiles(milliseconds(c.n))
		if got, want := []float64{*r.P50, *r.P95, *r.P99}, []float64{c.p50, c.p95, c.p99}; !cmp.Equal(got, want) {
			t.Errorf("of %d values: %v, want %v", c.n, got, want)
		}
	}
	var none Result
	none.Percentiles(nil)
	if none.P50 != nil {
		t.Errorf("of no values: %v", *none.P50)
	}
}

func TestRoundKeepsFourDigits(t *testing.T) {
	t.Parallel()
	for in, want := range map[float64]float64{0: 0, 123456: 123500, 0.00012344: 0.0001234, 99999: 100000, 1.5: 1.5, -27.1828: -27.18} {
		if got := Round(in); got != want {
			t.Errorf("Round(%v) = %v, want %v", in, got, want)
		}
	}
}

// The names and the order are what contestants in other languages write, and what bench reads.
func TestResultAsJSON(t *testing.T) {
	t.Parallel()
	var r Result
	fill(reflect.ValueOf(&r).Elem())
	got, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/result.golden.json"
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("the form has changed; go test -update rewrites %s:\n%s", file, diff)
	}
	bare, err := json.Marshal(Result{Workload: "drain"})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"workload":"drain","tasks":0,"seconds":0}`; string(bare) != want {
		t.Errorf("nothing measured: %s, want %s", bare, want)
	}
}

// fill sets every field to something.
func fill(v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Interface().(type) {
		case string:
			f.SetString(v.Type().Field(i).Name)
		case int64:
			f.SetInt(int64(i))
		case float64:
			f.SetFloat(float64(i) + 0.5)
		case *float64:
			f.Set(reflect.ValueOf(Figure(float64(i) + 0.25)))
		case []float64:
			f.Set(reflect.ValueOf([]float64{1, 2}))
		case []string:
			f.Set(reflect.ValueOf([]string{"a note"}))
		default:
			panic("a field of another type")
		}
	}
}

func TestPaddingMakesPayloadsOfTheirSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 10_000, 200_000} {
		raw, err := json.Marshal(Args{At: 1234567890, Pad: Padding(size)})
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) != size {
			t.Errorf("%d bytes, want %d", len(raw), size)
		}
	}
	if got := Padding(3); got != "" {
		t.Errorf("padding of a payload that is too short for any: %q", got)
	}
}
