package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	root   = "../.." // of the repository, seen from here
	module = "github.com/pgscheduler/scheduler/"
)

// rooms tells which other rooms a room may import. The longest prefix of a package's path decides.
var rooms = map[string][]string{
	"cmd/scheduler":      {"cmd/scheduler", "httpapi", "metrics", "worker", "scheduler", "migrations", "internal/privatepg", "internal/load"},
	"httpapi":            {"httpapi", "scheduler"},
	"metrics":            {"worker", "scheduler"},
	"httpapi/asset":      {},
	"httpapi/ui":         {"httpapi/asset", "scheduler", "sql"}, // sql: to show it
	"worker":             {"scheduler"},
	"worker/push":        {"worker", "scheduler"},
	"scheduler":          {"scheduler", "sql"},
	"sql":                {},
	"migrations":         {},
	"internal/privatepg": {},
	"internal/pgtest":    {"internal/privatepg", "migrations"},
	"internal/load":      {"internal/load", "scheduler", "worker", "migrations", "sql"},
	"internal/crash":     {"internal/load", "scheduler", "worker", "migrations", "internal/pgtest", "internal/privatepg"},
	"internal/browser":   {},
	"internal/proc":      {},
	"internal/example":   {"internal/pgtest", "internal/proc"},
	"internal/house":     {},
	"examples":           {"scheduler", "worker"}, // as a stranger would
	"clients":            {},
	"conformance":        {},
	"docs":               {},
}

// owners tells who alone may import a foreign package.
var owners = map[string][]string{
	"net/http":                    {"httpapi", "worker/push", "metrics", "cmd/scheduler", "examples", "internal/example"},
	"database/sql":                {"migrations"},
	"github.com/pressly/goose":    {"migrations"},
	"github.com/robfig/cron":      {"scheduler"},
	"github.com/danielgtaylor":    {"httpapi"},
	"github.com/spf13/cobra":      {"cmd/scheduler"},
	"github.com/jackc/pgx/v5":     {"scheduler", "worker", "cmd/scheduler", "migrations", "internal", "examples"},
	"github.com/coder/websocket":  {"httpapi"},
	"github.com/prometheus":       {"metrics"},
	"go.opentelemetry.io":         {"scheduler", "worker", "cmd/scheduler"},
	"github.com/google/uuid":      {"scheduler"},
	"golang.org/x/term":           {"cmd/scheduler", "examples"},
	"github.com/rivo/uniseg":      {"cmd/scheduler"},
	"github.com/sony/gobreaker":   {}, // tests
	"github.com/chromedp":         {"internal/browser"},
	"github.com/google/go-cmp":    {}, // tests
	"go.uber.org/goleak":          {"internal/pgtest"},
	"pgregory.net/rapid":          {},
	"github.com/stretchr/testify": {},
}

// pack is a package as go list shows it.
type pack struct {
	ImportPath, Dir, Doc string
	Imports, GoFiles     []string
	TestGoFiles          []string
	XTestGoFiles         []string
	IgnoredGoFiles       []string // of other systems
}

// name is the path within the repository.
func (p pack) name() string { return strings.TrimPrefix(p.ImportPath, module) }

var packages = sync.OnceValues(func() ([]pack, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Imports,GoFiles,TestGoFiles,XTestGoFiles,IgnoredGoFiles", "./...")
	cmd.Dir = root
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.Join(err, errors.New(problems.String()))
	}
	var list []pack
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pack
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
})

func all(t *testing.T) []pack {
	t.Helper()
	list, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 6 {
		t.Fatalf("%d packages", len(list))
	}
	return list
}

// within reports whether a package is a room or lies in it.
func within(name, room string) bool { return name == room || strings.HasPrefix(name, room+"/") }

// roomOf returns the room with the longest name that holds a package.
func roomOf(name string) (room string, ok bool) {
	for candidate := range rooms {
		if within(name, candidate) && len(candidate) > len(room) {
			room, ok = candidate, true
		}
	}
	return room, ok
}

func TestArrows(t *testing.T) {
	t.Parallel()
	for _, p := range all(t) {
		room, ok := roomOf(p.name())
		if !ok {
			t.Errorf("package %s: no room holds it; see the table rooms, and STYLE", p.name())
			continue
		}
		for _, imported := range p.Imports {
			name, ours := strings.CutPrefix(imported, module)
			if ours && !slices.ContainsFunc(rooms[room], func(may string) bool { return within(name, may) }) {
				t.Errorf("%s imports %s", p.name(), name)
			}
		}
	}
}

func TestForeignPackagesHaveOneOwner(t *testing.T) {
	t.Parallel()
	for _, p := range all(t) {
		for _, imported := range p.Imports {
			for foreign, may := range owners {
				if within(imported, foreign) && !slices.ContainsFunc(may, func(room string) bool { return within(p.name(), room) }) {
					t.Errorf("%s imports %s, which belongs to %v", p.name(), imported, may)
				}
			}
		}
	}
}

// A worker knows of pgx only that its callers have transactions.
func TestWorkerKnowsOnlyTransactions(t *testing.T) {
	t.Parallel()
	eachFile(t, func(p pack, name string, file *ast.File) {
		if !within(p.name(), "worker") {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && strings.HasPrefix(x.Name, "pgx") && s.Sel.Name != "Tx" {
					t.Errorf("%s uses %s.%s", name, x.Name, s.Sel.Name)
				}
			}
			return true
		})
	})
}

func TestCronHasOneFile(t *testing.T) {
	t.Parallel()
	var users []string
	eachFile(t, func(_ pack, name string, file *ast.File) {
		for _, s := range file.Imports {
			if strings.Contains(s.Path.Value, "robfig/cron") {
				users = append(users, name)
			}
		}
	})
	if !slices.Equal(users, []string{"scheduler/cron.go"}) {
		t.Errorf("imported by %v", users)
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	for _, p := range all(t) {
		if len(p.GoFiles) > 0 && len(p.Doc) < 20 {
			t.Errorf("package %s has no comment", p.name())
		}
	}
}

// eachFile calls f with every Go file of the repository outside of tests, whatever system it is for.
func eachFile(t *testing.T, f func(p pack, name string, file *ast.File)) {
	t.Helper()
	for _, p := range all(t) {
		for _, base := range slices.Concat(p.GoFiles, p.IgnoredGoFiles) {
			if strings.HasSuffix(base, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, base), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			f(p, path.Join(p.name(), base), file)
		}
	}
}

// A file is one idea, and can be read in one sitting.
func TestFilesAreShort(t *testing.T) {
	t.Parallel()
	const most = 400
	files := 0
	err := filepath.WalkDir(root, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); base == ".git" || base == "node_modules" || base == "vendor" || base == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(name); strings.HasSuffix(name, "_test.go") || ext != ".go" && ext != ".sql" && ext != ".php" && ext != ".js" && ext != ".css" {
			return nil
		}
		text, err := os.ReadFile(name)
		if n := bytes.Count(text, []byte("\n")); n > most {
			t.Errorf("%s has %d lines", name, n)
		}
		files++
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("%d files, %v", files, err)
	}
}
