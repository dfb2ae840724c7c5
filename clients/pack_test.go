//go:build unix

package clients

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/internal/proc"
)

// TestPackage installs what npm packs into a new folder, and uses it from there as programs do, in JavaScript and in TypeScript.
func TestPackage(t *testing.T) {
	t.Parallel()
	proc.Need(t, "npm")
	proc.Need(t, "tsc")
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("package.json", `{"name": "stranger", "private": true, "type": "module"}`)
	tarball := pack(t, dir)
	in(t, dir, "npm", "install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts", "./"+tarball)

	exported := exports(t)
	write("use.js", `import * as all from '@pgscheduler/scheduler';
import { derive, derivedId, mint, verify } from '@pgscheduler/scheduler/watch';
const missing = `+show(exported["value"])+`.filter((name) => typeof all[name] !== 'function');
const token = mint(derivedId, derive('a-token-of-16-bytes'), '01a1fbef-233c-7042-95b8-43300d35ff2a', 2e9);
const { taskId } = verify(token, { [derivedId]: derive('a-token-of-16-bytes') });
console.log(missing.length, Object.keys(all).length, taskId.length);
`)
	if got, want := in(t, dir, "node", "use.js"), fmt.Sprintf("0 %d 36\n", len(exported["value"])); got != want {
		t.Errorf("use.js prints %q, want %q: what index.js exports is not what index.d.ts says", got, want)
	}
	write("use.cjs", `import('@pgscheduler/scheduler').then(({ Client }) => console.log(typeof Client));`)
	if got := in(t, dir, "node", "use.cjs"); got != "function\n" {
		t.Errorf("use.cjs prints %q", got)
	}

	types, err := os.ReadFile("node/tests/types.ts")
	if err != nil {
		t.Fatal(err)
	}
	write("types.ts", strings.Replace(string(types), "'../index.js'", "'@pgscheduler/scheduler'", 1))
	files := []string{"types.ts", "ambient.d.ts"}
	for _, page := range []string{"node/README.md", "../docs/guides/node.md"} {
		for _, s := range snippets(t, page, "js", "//") {
			if s.name == "server.js" { // node:http has its types elsewhere
				continue
			}
			name := strings.ReplaceAll(filepath.Base(page), ".", "_") + "_" + strings.TrimSuffix(s.name, ".js") + ".ts"
			write(name, s.text+"export {};\n")
			files = append(files, name)
		}
	}
	write("ambient.d.ts", `declare const process: { env: Record<string, string | undefined>; exit(code?: number): never };
declare module 'pg' { const pg: any; export default pg; }
declare module 'node:timers/promises' { export const setTimeout: (ms: number, value?: undefined, options?: { signal?: AbortSignal }) => Promise<void>; }
`)
	write("tsconfig.json", fmt.Sprintf(`{"compilerOptions": {"strict": true, "noEmit": true, "target": "es2022", "module": "node16", "moduleResolution": "node16",
		"lib": ["es2022", "dom"], "types": []}, "files": %s}`, show(files)))
	in(t, dir, "tsc", "-p", ".")
}

// pack packs the package and checks what is in it.
func pack(t *testing.T, dir string) string {
	t.Helper()
	var packed []struct {
		Filename string
		Files    []struct{ Path string }
	}
	if err := json.Unmarshal([]byte(in(t, "node", "npm", "pack", "--json", "--ignore-scripts", "--pack-destination", dir)), &packed); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, file := range packed[0].Files {
		got = append(got, file.Path)
	}
	want := []string{"LICENSE", "README.md", "package.json"}
	for _, pattern := range []string{"node/*.js", "node/*.d.ts"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			if name := filepath.Base(file); !strings.HasSuffix(name, ".test.js") {
				want = append(want, name)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("packed\n%v\nwant\n%v", got, want)
	}
	return packed[0].Filename
}

// exports are the names that index.d.ts exports, of values and of types. Each must be used in tests/types.ts.
func exports(t *testing.T) map[string][]string {
	t.Helper()
	declared, err := os.ReadFile("node/index.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	uses, err := os.ReadFile("node/tests/types.ts")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(uses), "from '../index.js';")
	names := map[string][]string{}
	for _, found := range regexp.MustCompile(`(?m)^export (class|function|const|interface|type) (\w+)`).FindAllStringSubmatch(string(declared), -1) {
		sort := "value"
		if found[1] == "interface" || found[1] == "type" {
			sort = "type"
		}
		names[sort] = append(names[sort], found[2])
		if !regexp.MustCompile(`\b` + found[2] + `\b`).MatchString(body) {
			t.Errorf("tests/types.ts does not use %s", found[2])
		}
	}
	return names
}

// in runs a program in a folder, and returns what it wrote to stdout.
func in(t *testing.T, dir, program string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, arguments...)
	cmd.Dir = dir
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(arguments, " "), err, out, problems.String())
	}
	return string(out)
}

func show(list []string) string {
	text, _ := json.Marshal(list) // of texts
	return string(text)
}

// TestLicenses: a package that is installed without the repository brings the license along.
func TestLicenses(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"node", "php"} {
		got, err := os.ReadFile(filepath.Join(folder, "LICENSE"))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s/LICENSE is not that of the repository: %v", folder, err)
		}
	}
}

// TestTypesAreThoseOfTheServer: index.d.ts names the members that the API's own description names.
func TestTypesAreThoseOfTheServer(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../httpapi/testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var described struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Enum []string }
			}
		}
	}
	if err := json.Unmarshal(text, &described); err != nil {
		t.Fatal(err)
	}
	declared, err := os.ReadFile("node/index.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	own := map[string][]string{"SubmitRequest": nil}
	for _, found := range regexp.MustCompile(`(?ms)^export interface (\w+)[^{]*\{\n(.*?)^\}`).FindAllStringSubmatch(string(declared), -1) {
		for _, member := range regexp.MustCompile(`(?m)^  (?:readonly )?(\w+)\??:`).FindAllStringSubmatch(found[2], -1) {
			own[found[1]] = append(own[found[1]], member[1])
		}
	}
	own["SubmitRequest"] = append(own["SubmitRequest"], own["NewTask"]...)
	own["Task"] = slices.DeleteFunc(own["Task"], func(name string) bool { return name == "signal" })
	for name, schema := range map[string]string{"SubmitRequest": "SubmitRequest", "TaskView": "Task", "Task": "LeasedTask", "Submitted": "Submitted",
		"Published": "Published", "Reason": "Reason", "Attempt": "Attempt", "LogLine": "LogLine", "Progress": "Progress"} {
		var want []string
		for property := range described.Components.Schemas[schema].Properties {
			want = append(want, property)
		}
		slices.Sort(want)
		slices.Sort(own[name])
		if len(want) == 0 || !slices.Equal(own[name], want) {
			t.Errorf("%s has %v, the API's %s %v", name, own[name], schema, want)
		}
	}
	union := regexp.MustCompile(`(?s)export type ProblemCode =(.*?);`).FindString(string(declared))
	for _, code := range described.Components.Schemas["Problem"].Properties["code"].Enum {
		if !strings.Contains(union, "'"+code+"'") {
			t.Errorf("ProblemCode lacks %s", code)
		}
	}
}
