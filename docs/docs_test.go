// Package docs_test holds the documentation to the code.
package docs_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// root is the repository's, seen from this folder.
const root = ".."

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tables returns the rows of all Markdown tables below a heading, without headers, cells trimmed.
func tables(t *testing.T, text, heading string) [][]string {
	t.Helper()
	_, section, found := strings.Cut("\n"+text, "\n"+heading+"\n")
	if !found {
		t.Fatalf("there is no heading %q", heading)
	}
	if next := regexp.MustCompile(`(?m)^#+ `).FindStringIndex(section); next != nil {
		section = section[:next[0]]
	}
	var rows [][]string
	body := false
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			body = false
		case strings.HasPrefix(line, "|---"):
			body = true
		case body:
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		}
	}
	return rows
}

// unquote takes the backquotes off.
func unquote(cell string) string { return strings.Trim(cell, "`") }

func TestEdgesAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	var documented []scheduler.Edge
	for _, row := range tables(t, read(t, "life-of-a-task.md"), "## Every edge") {
		documented = append(documented, scheduler.Edge{From: scheduler.State(row[0]), To: scheduler.State(row[1]), Verb: row[2]})
	}
	if diff := cmp.Diff(scheduler.Edges, documented); diff != "" {
		t.Errorf("life-of-a-task.md and scheduler.Edges differ (-code +documented):\n%s", diff)
	}
}

func TestStatesAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	var documented []scheduler.State
	for _, row := range tables(t, read(t, "life-of-a-task.md"), "# The life of a task") {
		state := scheduler.State(unquote(row[0]))
		documented = append(documented, state)
		if final := row[2] != ""; final != state.Done() {
			t.Errorf("%s is documented as final: %v", state, final)
		}
	}
	if diff := cmp.Diff(scheduler.States, documented); diff != "" {
		t.Errorf("states (-code +documented):\n%s", diff)
	}
}

// TestDiagramDrawsTheEdges: every arrow of the diagram is an edge, and every edge that something makes today is drawn.
func TestDiagramDrawsTheEdges(t *testing.T) {
	t.Parallel()
	drawn := map[[2]scheduler.State]bool{}
	for _, arrow := range regexp.MustCompile(`(?m)^    (\w+) --> (\w+): `).FindAllStringSubmatch(read(t, "life-of-a-task.md"), -1) {
		drawn[[2]scheduler.State{scheduler.State(arrow[1]), scheduler.State(arrow[2])}] = true
	}
	for _, edge := range scheduler.Edges {
		pair := [2]scheduler.State{edge.From, edge.To}
		if used := edge.From != scheduler.Blocked; used != drawn[pair] {
			t.Errorf("%s → %s (%s): drawn %v, want %v", edge.From, edge.To, edge.Verb, drawn[pair], used)
		}
		delete(drawn, pair)
	}
	if len(drawn) > 0 {
		t.Errorf("drawn, but no edges: %v", drawn)
	}
}

func TestConfigurationIsThatOfTheCode(t *testing.T) {
	t.Parallel()
	text := read(t, "reference/config.md")
	for heading, config := range map[string]reflect.Type{
		"## Go: `scheduler.Config`": reflect.TypeFor[scheduler.Config](),
		"## Go: `worker.Config`":    reflect.TypeFor[worker.Config](),
		"## Go: `worker.Command`":   reflect.TypeFor[worker.Command](),
	} {
		var fields, documented []string
		for i := range config.NumField() {
			if field := config.Field(i); field.IsExported() {
				fields = append(fields, field.Name)
			}
		}
		for _, row := range tables(t, text, heading) {
			documented = append(documented, unquote(row[0]))
		}
		if diff := cmp.Diff(fields, documented); diff != "" {
			t.Errorf("%s (-code +documented):\n%s", heading, diff)
		}
	}
}

// pages lists the Markdown files of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules" || entry.Name() == "vendor"):
			return fs.SkipDir
		case filepath.Ext(path) == ".md":
			list = append(list, path)
		}
		return nil
	})
	if err != nil || len(list) < 10 {
		t.Fatalf("%d pages found: %v", len(list), err)
	}
	return list
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code := regexp.MustCompile("(?s)```.*?```")
	for _, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, page), ""), -1) {
			target, fragment, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s, which is not there", page, match[1])
				continue
			}
			if fragment != "" && !slices.Contains(anchors(read(t, path)), fragment) {
				t.Errorf("%s links to %s, which has no such heading", page, match[1])
			}
		}
	}
}

// anchors are the names under which headings are linked to.
func anchors(text string) []string {
	var list []string
	for _, match := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(match[1]), "")
		list = append(list, strings.ReplaceAll(strings.TrimSpace(name), " ", "-"))
	}
	return list
}

// TestLibrariesAreNamed: the README names each library that is imported, and no other.
func TestLibrariesAreNamed(t *testing.T) {
	t.Parallel()
	list := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}{{"\n"}}{{join .TestImports "\n"}}{{"\n"}}{{join .XTestImports "\n"}}`, "./...")
	list.Dir = root
	imports, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for path := range strings.FieldsSeq(string(imports)) {
		host, rest, _ := strings.Cut(path, "/")
		if !strings.Contains(host, ".") || strings.HasPrefix(path, "github.com/pgscheduler/") {
			continue
		}
		parts := 2
		if slices.Contains([]string{"pgregory.net", "go.uber.org", "go.opentelemetry.io", "go.yaml.in"}, host) {
			parts = 1
		}
		used[strings.Join(strings.SplitN(rest, "/", parts+1)[:parts], "/")] = true
	}
	_, section, _ := strings.Cut(read(t, "../README.md"), "\n## Libraries\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for library := range used {
		name := library[strings.LastIndex(library, "/")+1:]
		if !strings.Contains(section, name) && !strings.Contains(section, library) {
			t.Errorf("the README does not name the library %s", library)
		}
	}
	var named []string
	for _, match := range regexp.MustCompile(`\[([\w./-]+)\]\(https://`).FindAllStringSubmatch(section, -1) {
		named = append(named, match[1])
	}
	for _, name := range named {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(used)), func(library string) bool { return strings.HasSuffix(library, name) }) {
			t.Errorf("the README names %s, which is not imported", name)
		}
	}
}

func TestDecisionsHaveTheirForm(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("decisions/*.md")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d decisions: %v", len(files), err)
	}
	for i, file := range files {
		text := read(t, file)
		if want := fmt.Sprintf("%04d-", i+1); !strings.HasPrefix(filepath.Base(file), want) {
			t.Errorf("%s: want a name that begins with %s", file, want)
		}
		if want := fmt.Sprintf("# %d. ", i+1); !strings.HasPrefix(text, want) {
			t.Errorf("%s: want a heading that begins with %q", file, want)
		}
		at := -1
		for _, part := range []string{"**Context.**", "**Choice.**", "**Cost.**", "**Revisit**"} {
			next := strings.Index(text, part)
			if next <= at {
				t.Errorf("%s: %s is missing or out of order", file, part)
			}
			at = next
		}
	}
}
