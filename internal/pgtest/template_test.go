package pgtest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
)

func TestTemplateIsMadeOnce(t *testing.T) {
	t.Parallel()
	admin, err := cluster()
	check(t, err)
	name := newName("template")
	t.Cleanup(func() { dropTemplate(t, admin, name) })
	var fills atomic.Int32
	var makers sync.WaitGroup
	for range 4 { // each with a connection of its own, as other processes have
		makers.Go(func() {
			err := makeTemplate(t.Context(), admin, name, func(ctx context.Context, url string) error {
				fills.Add(1)
				return execute(ctx, url, "create table made ()")
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	makers.Wait()
	if n := fills.Load(); n != 1 {
		t.Errorf("filled %d times", n)
	}
	if !value[bool](t, connect(t, create(t, admin, name)), "select to_regclass('made') is not null") {
		t.Error("the copy lacks what the template has")
	}
}

func TestTemplateThatWasNotFinishedIsMadeAgain(t *testing.T) {
	t.Parallel()
	admin, err := cluster()
	check(t, err)
	name := newName("template")
	t.Cleanup(func() { dropTemplate(t, admin, name) })
	broken := errors.New("a migration that does not run")
	err = makeTemplate(t.Context(), admin, name, func(ctx context.Context, url string) error {
		if err := execute(ctx, url, "create table half ()"); err != nil {
			t.Error(err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	err = makeTemplate(t.Context(), admin, name, func(ctx context.Context, url string) error {
		return execute(ctx, url, "create table half ()") // fails if it is there
	})
	if err != nil {
		t.Error(err)
	}
}

func dropTemplate(t *testing.T, admin, name string) {
	for _, sql := range []string{"alter database " + quote(name) + " with is_template false", "drop database " + quote(name)} {
		if err := execute(context.Background(), admin, sql); err != nil {
			t.Error(err)
		}
	}
}

func TestHashTellsMigrationsApart(t *testing.T) {
	t.Parallel()
	seen := make(map[string]int)
	for i, files := range []fstest.MapFS{
		{"1.sql": {Data: []byte("a")}},
		{"1.sql": {Data: []byte("b")}},
		{"2.sql": {Data: []byte("a")}},
		{"1.sql": {Data: []byte("a")}, "2.sql": {Data: []byte("a")}},
		{"1.sql": {Data: []byte("a")}, "2.sql": {}},
	} {
		hash, err := hashOf(files)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := hashOf(files); again != hash {
			t.Errorf("files %d: %s, then %s", i, hash, again)
		}
		if before, ok := seen[hash]; ok {
			t.Errorf("files %d and %d: both %s", before, i, hash)
		}
		seen[hash] = i
	}
}
