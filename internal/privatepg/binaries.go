//go:build linux || darwin

package privatepg

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// oldestMajor is the oldest version of PostgreSQL that Start accepts.
const oldestMajor = 14

// binaries is a directory with the programs of one PostgreSQL version.
type binaries struct {
	dir     string
	version string // as "15.18"
	major   int
}

func (b binaries) postgres() string { return filepath.Join(b.dir, "postgres") }
func (b binaries) initdb() string   { return filepath.Join(b.dir, "initdb") }

// search looks for programs that an account can run, and remembers why it passed over some.
type search struct {
	account account
	want    int // major version; 0 = any
	passed  []string
}

// find returns the programs to use for the cluster in data, which need not exist yet.
func find(ctx context.Context, cfg Config, a account, data string) (binaries, error) {
	s := &search{account: a, want: clusterMajor(data)}
	if dir := cmp.Or(cfg.BinDir, os.Getenv("SCHEDULER_PG_BINDIR")); dir != "" {
		b, err := s.inspect(ctx, dir)
		if err != nil {
			return binaries{}, fmt.Errorf("PostgreSQL programs: %w", err)
		}
		return b, nil
	}
	if b, ok := s.first(ctx, fromConfig(ctx), fromPath()); ok {
		return b, nil
	}
	if b, ok := s.newest(ctx); ok {
		return b, nil
	}
	why := "initdb and postgres are neither where pg_config --bindir says, nor on PATH, nor in " + strings.Join(knownDirs, ", ")
	if len(s.passed) > 0 {
		why = strings.Join(s.passed, "\n")
	}
	return binaries{}, notFound(why)
}

// first returns the first of dirs that holds programs we can use.
func (s *search) first(ctx context.Context, dirs ...string) (binaries, bool) {
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		b, err := s.inspect(ctx, dir)
		if err == nil {
			return b, true
		}
		s.pass(dir, err)
	}
	return binaries{}, false
}

// newest returns the programs of the highest version in the known directories.
func (s *search) newest(ctx context.Context) (binaries, bool) {
	var found []binaries
	for _, pattern := range knownDirs {
		dirs, _ := filepath.Glob(pattern) // the only error is a bad pattern
		for _, dir := range dirs {
			b, err := s.inspect(ctx, dir)
			if err != nil {
				s.pass(dir, err)
				continue
			}
			found = append(found, b)
		}
	}
	if len(found) == 0 {
		return binaries{}, false
	}
	return slices.MaxFunc(found, func(a, b binaries) int { return cmp.Compare(a.major, b.major) }), true
}

// pass remembers why dir does not do, unless it only holds the client's programs.
func (s *search) pass(dir string, err error) {
	if _, missing := os.Stat(filepath.Join(dir, "postgres")); missing == nil && !slices.Contains(s.passed, err.Error()) {
		s.passed = append(s.passed, err.Error())
	}
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// inspect checks that dir holds initdb and postgres, that the account can run them, and their version.
func (s *search) inspect(ctx context.Context, dir string) (binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return binaries{}, err
	}
	b := binaries{dir: dir}
	if _, err := os.Stat(b.initdb()); err != nil {
		return b, err
	}
	out, err := s.account.command(ctx, "/", b.postgres(), "--version").Output()
	if err != nil {
		return b, fmt.Errorf("%s cannot run %s: %w", s.account.name, b.postgres(), err)
	}
	match := versionLine.FindStringSubmatch(string(out))
	if match == nil {
		return b, fmt.Errorf("%s --version says %q", b.postgres(), out)
	}
	b.version = match[1]
	b.major, _ = strconv.Atoi(match[2]) // digits only
	if s.want != 0 && b.major != s.want {
		return b, fmt.Errorf("%s is PostgreSQL %d, but the cluster was made by PostgreSQL %d: install that, or use another directory", dir, b.major, s.want)
	}
	if b.major < oldestMajor {
		return b, fmt.Errorf("%s is PostgreSQL %s, but %d or newer is needed", dir, b.version, oldestMajor)
	}
	return b, nil
}

// fromConfig is the directory that pg_config names, or "".
func fromConfig(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// fromPath is the directory of the initdb on PATH, links followed, or "".
func fromPath() string {
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return ""
	}
	if initdb, err = filepath.EvalSymlinks(initdb); err != nil {
		return ""
	}
	return filepath.Dir(initdb)
}

// clusterMajor is the version that made the cluster in data, or 0 when there is none.
func clusterMajor(data string) int {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return 0
	}
	major, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return major
}
