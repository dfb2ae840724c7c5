package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// write makes the files of a tree below a temporary directory and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCountFile(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file, source string
		want         Counts
	}{
		"package clause alone":     {"a.go", "package a\n", Counts{Files: 1, Lines: 1}},
		"last line without an end": {"a.go", "package a\n\nvar x int", Counts{Files: 1, Lines: 3}},
		"functions, methods, one without a body": {"a.go", "package a\ntype t int\nfunc f() {}\nfunc (t) M() {}\nfunc G()\n",
			Counts{Files: 1, Lines: 5, Functions: 3, Exported: 2}},
		"function literals are no functions": {"a.go", "package a\nvar f = func() {}\n", Counts{Files: 1, Lines: 2}},
		"names of every kind": {"a.go", "package a\n\nimport F \"fmt\"\n\nconst A, b = 1, 2\n\nvar (\n\tC   = F.Sprint()\n\t_   = 1\n\td, E int\n)\n\ntype (\n\tG int\n\th int\n)\n",
			Counts{Files: 1, Lines: 16, Exported: 4}},
		"names inside a function are not exported": {"a.go", "package a\n\nfunc f() {\n\tconst A = 1\n\ttype B int\n}\n",
			Counts{Files: 1, Lines: 6, Functions: 1}},
		"fields are not counted": {"a.go", "package a\ntype T struct{ A, B int }\n", Counts{Files: 1, Lines: 2, Exported: 1}},
		"a test file exports nothing": {"a_test.go", "package a\nfunc TestA() {}\n",
			Counts{Files: 1, Lines: 2, Functions: 1}},
		"comments and unusual layout survive the second parse": {"a.go", "//go:build ignore\n\n/* c */ package a; func F() { /* d */ }\n",
			Counts{Files: 1, Lines: 3, Functions: 1, Exported: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(write(t, map[string]string{test.file: test.source}), test.file)
			got, err := countFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCountFileNamesThePlaceOfAnError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(write(t, map[string]string{"a.go": "package a\nfunc {\n"}), "a.go")
	if _, err := countFile(path); err == nil || !strings.Contains(err.Error(), "a.go:2:6") {
		t.Errorf("countFile of a broken file: %v; want an error with a.go:2:6", err)
	}
}

// TestSurveyAgreesWithTasks: the walk and the counting know nothing of each other and must find the same.
func TestSurveyAgreesWithTasks(t *testing.T) {
	t.Parallel()
	root := write(t, map[string]string{
		"a/a.go":            "package a\n",
		"a/a_test.go":       "package a\n\nvar x int",
		"a/deep/in/b.go":    "package b\n\n\nfunc F() {}\n",
		"a/notes.txt":       "one\ntwo\n",
		"cmd/go/main.go":    "package main\n",
		"a/testdata/c.go":   "package c\n",
		"vendor/x/x.go":     "package x\n",
		"_asm/asm.go":       "package asm\n",
		".hidden/h.go":      "package h\n",
		"empty/readme.md":   "nothing\n",
		"top.go":            "package top\r\n\r\nconst A = `\r\n`\r\n",
		"a/cmdline/main.go": "package main\n",
	})
	found, err := survey(root)
	if err != nil {
		t.Fatal(err)
	}
	packages, err := findPackages(root)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".", "a", "a/cmdline", "a/deep/in"}, packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	counted := map[string]size{}
	for _, name := range packages {
		files, err := goFiles(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		var sum Counts
		for _, file := range files {
			counts, err := countFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sum.add(counts)
		}
		counted[name] = size{files: sum.Files, lines: sum.Lines}
	}
	if diff := cmp.Diff(found, counted, cmp.AllowUnexported(size{})); diff != "" {
		t.Errorf("walk and tasks differ (-walk +tasks):\n%s", diff)
	}
}
