package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Counts is what there is in Go files.
type Counts struct {
	Files     int `json:"files"`
	Lines     int `json:"lines"`
	Functions int `json:"functions"` // declared, methods too, with or without a body
	Exported  int `json:"exported"`  // names declared at package level and methods, outside of test files
}

func (c *Counts) add(other Counts) {
	c.Files += other.Files
	c.Lines += other.Lines
	c.Functions += other.Functions
	c.Exported += other.Exported
}

// findPackages lists the directories below root that hold Go files, relative to root and sorted.
func findPackages(root string) ([]string, error) {
	var packages []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		case path != root && skipped(entry.Name()):
			return fs.SkipDir
		}
		files, err := goFiles(path)
		if err != nil || len(files) == 0 {
			return err
		}
		name, err := filepath.Rel(root, path)
		packages = append(packages, filepath.ToSlash(name))
		return err
	})
	slices.Sort(packages)
	return packages, err
}

// skipped reports whether a directory is left out: what is no part of the library, and what need not parse.
func skipped(name string) bool {
	return name == "cmd" || name == "vendor" || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func goFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		if entry.Type().IsRegular() && filepath.Ext(entry.Name()) == ".go" {
			files = append(files, filepath.Join(dir, entry.Name()))
		}
	}
	return files, nil
}

// countFile parses a file and counts. Of a file of the library itself it then prints the syntax tree, parses what was printed
// and counts again: a parser or printer that loses something shall not go unnoticed.
func countFile(path string) (Counts, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return Counts{}, err
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return Counts{}, err
	}
	counts := Counts{Files: 1, Lines: set.File(file.FileStart).LineCount(), Functions: functions(file)}
	if strings.HasSuffix(path, "_test.go") {
		return counts, nil
	}
	counts.Exported = exported(file)
	var printed bytes.Buffer
	if err := format.Node(&printed, set, file); err != nil {
		return Counts{}, fmt.Errorf("print %s: %w", path, err)
	}
	again, err := parser.ParseFile(token.NewFileSet(), path, printed.Bytes(), parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return Counts{}, fmt.Errorf("as printed: %w", err)
	}
	if functions(again) != counts.Functions || exported(again) != counts.Exported {
		return Counts{}, errors.New(path + ": the syntax tree changed when it was printed and parsed again")
	}
	return counts, nil
}

func functions(file *ast.File) int {
	n := 0
	for _, decl := range file.Decls {
		if _, ok := decl.(*ast.FuncDecl); ok {
			n++
		}
	}
	return n
}

func exported(file *ast.File) int {
	n := 0
	count := func(names ...*ast.Ident) {
		for _, name := range names {
			if name.IsExported() {
				n++
			}
		}
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			count(decl.Name)
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					count(spec.Name)
				case *ast.ValueSpec:
					count(spec.Names...)
				}
			}
		}
	}
	return n
}
