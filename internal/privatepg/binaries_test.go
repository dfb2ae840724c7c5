//go:build linux || darwin

package privatepg

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// mustSay checks that an error names what a person needs.
func mustSay(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not say %q:\n%v", part, err)
		}
	}
}

// Changes PATH and knownDirs, so not in parallel.
func TestNotFound(t *testing.T) {
	known := knownDirs
	t.Cleanup(func() { knownDirs = known })
	knownDirs = []string{"/nowhere/*/bin"}
	t.Setenv("PATH", "")
	t.Setenv("SCHEDULER_PG_BINDIR", "")
	dir := filepath.Join(openDir(t), "cluster")
	_, err := Start(t.Context(), Config{Dir: dir})
	var missing *NotFoundError
	if !errors.As(err, &missing) {
		t.Fatalf("got %v, want a NotFoundError", err)
	}
	mustSay(t, err, "no usable PostgreSQL", "pg_config", "PATH", "/nowhere/*/bin")
	if exists(dir) {
		t.Error("made the cluster directory all the same")
	}

	old := fakePostgres(t, "postgres (PostgreSQL) 9.6.24")
	knownDirs = []string{old}
	_, err = Start(t.Context(), Config{Dir: dir})
	mustSay(t, err, old, "9.6.24", "14 or newer")
}

func TestExplicitBinDirIsNeverPassedOver(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Config{BinDir: "/nowhere"})
	mustSay(t, err, "/nowhere/initdb")
	_, err = Start(t.Context(), Config{BinDir: fakePostgres(t, "a program of somebody else's")})
	mustSay(t, err, "somebody else's")
}

func TestClusterOfAnotherVersion(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "cluster")
	if err := start(t, Config{Dir: dir, Fast: true}).Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Config{Dir: dir})
	mustSay(t, err, "made by PostgreSQL 99")
}

// Changes the environment, so not in parallel.
func TestNewestKnownWinsUnlessClusterWantsAnother(t *testing.T) {
	known := knownDirs
	t.Cleanup(func() { knownDirs = known })
	t.Setenv("PATH", "")
	t.Setenv("SCHEDULER_PG_BINDIR", "")
	root := openDir(t)
	for _, version := range []string{"9", "15", "16"} {
		if err := os.Rename(fakePostgres(t, "postgres (PostgreSQL) "+version+".1 (Debian)"), filepath.Join(root, version)); err != nil {
			t.Fatal(err)
		}
	}
	knownDirs = []string{filepath.Join(root, "*")}
	data := filepath.Join(openDir(t), "data")
	major, err := Major(t.Context(), Config{})
	if err != nil || major != 16 {
		t.Errorf("any version: %d, %v; want 16", major, err)
	}
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("15\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := serverAccount("")
	if err != nil {
		t.Fatal(err)
	}
	b, err := find(t.Context(), Config{}, a, data)
	if err != nil || b.version != "15.1" {
		t.Errorf("cluster of version 15: %q, %v", b.version, err)
	}
}

// fakePostgres is a directory with an initdb and a postgres that only knows its version.
func fakePostgres(t *testing.T, version string) string {
	t.Helper()
	dir := filepath.Join(openDir(t), "bin")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	syscall.ForkLock.RLock() // a process that is started beside this would hold the script open, which then can't be run: text file busy
	defer syscall.ForkLock.RUnlock()
	for _, name := range []string{"initdb", "postgres"} {
		script := "#!/bin/sh\necho \"" + version + "\"\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestInstallCommand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		goos, release string
		root          bool
		want          string
	}{
		{"linux", "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n", true, "apt-get install -y postgresql"},
		{"linux", "ID=ubuntu\nID_LIKE=debian\n", false, "sudo apt-get install -y postgresql"},
		{"linux", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", false, "sudo apt-get install -y postgresql"},
		{"linux", "ID=fedora\n", false, "sudo dnf install -y postgresql-server"},
		{"linux", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", false, "sudo dnf install -y postgresql-server"},
		{"linux", "ID=alpine\n", true, "apk add postgresql"},
		{"linux", "ID=plan9\n", true, ""},
		{"linux", "", true, ""},
		{"darwin", "", false, "brew install postgresql@17"},
	} {
		if got := installCommand(test.goos, test.release, test.root); got != test.want {
			t.Errorf("%s %q, root %v: %q, want %q", test.goos, test.release, test.root, got, test.want)
		}
	}
	if text := (&NotFoundError{Why: "because"}).Error(); !strings.Contains(text, "SCHEDULER_PG_BINDIR") {
		t.Errorf("unknown system: %s", text)
	}
}
