package main

import (
	"slices"
	"testing"
)

func TestCommandLine(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"--workloads", "e2e,drain", "--contestants", "river,ours", "--rounds", "5", "--out", "x"})
	if err != nil {
		t.Fatal(err)
	}
	if o.rounds != 5 || o.out != "x" || !slices.Equal(o.workloads, []string{"drain", "e2e"}) || !slices.Equal(o.contestants, []string{"ours", "river"}) {
		t.Errorf("%+v", o)
	}
	for _, args := range [][]string{{"--workloads", "wishing"}, {"--contestants", "hope"}, {"--rounds", "0"}, {"--slowly"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v is allowed", args)
		}
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"--quick"})
	if err != nil {
		t.Fatal(err)
	}
	chosen := plan(o)
	if o.rounds != 1 || len(chosen) != len(steps) {
		t.Errorf("%d rounds of %d steps", o.rounds, len(chosen))
	}
	seen := map[string]bool{}
	for _, s := range chosen {
		if seen[s.name] {
			t.Errorf("two steps are called %q", s.name)
		}
		seen[s.name] = true
		if s.limit == 0 || len(s.flags) == 0 || !s.has("ours") {
			t.Errorf("%+v", s)
		}
	}
	full := plan(options{workloads: []string{"backlog"}, full: true})
	if len(full) != 1 || !slices.Contains(full[0].flags, "5000000") {
		t.Errorf("%+v", full)
	}
}

func TestNodeThatIsNewEnough(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"22.18.0": true, "24.0.1": true, "22.17.9": false, "20.20.2": false, "": false, "v22.18.0": false} {
		if newEnough(version) != want {
			t.Errorf("%q: %v", version, !want)
		}
	}
}
