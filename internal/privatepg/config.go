package privatepg

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Config says what Start runs and where. The zero value is a durable, temporary cluster.
type Config struct {
	// Dir is the cluster directory; it is made when missing, and its parents with it. A relative path
	// is taken from the working directory. Default "": a temporary directory, removed by Stop. A
	// directory that the server's account cannot enter (below /root, say) is refused before initdb.
	Dir string

	// BinDir is a directory that holds initdb and postgres. Default "": $SCHEDULER_PG_BINDIR, then
	// what pg_config names, then PATH, then the places where systems keep them, newest first; a
	// directory that already holds a cluster wants the major version that made it. A BinDir without
	// the two programs is an error, never a reason to look further.
	BinDir string

	// Settings are server settings by name, as in postgresql.conf. Default nil. They win over our own,
	// the ones that keep the server private included: do not set listen_addresses.
	Settings map[string]string

	// Fast trades what a test does not need for speed: no fsync, no full page writes, no WAL sender,
	// 1000 connections, and a temporary cluster lies in memory when there is plenty. Default false:
	// durable settings, 100 connections. Even with Fast a commit that was acknowledged survives Kill
	// (synchronous_commit stays on), but not the machine's power cut.
	Fast bool

	// Log gets a line for each thing worth a person's attention, such as the directory that a cluster
	// is made in. Default nil: nothing is said. The server's own log is the file postgres.log in Dir.
	Log io.Writer

	// InstallMissing lets Start install PostgreSQL with apt-get when it finds none and runs as root on
	// Debian or Ubuntu, without a cluster of the system's. Default false: a *NotFoundError.
	InstallMissing bool
}

// say writes a line for a person.
func (c Config) say(format string, args ...any) {
	if c.Log != nil {
		fmt.Fprintf(c.Log, format+"\n", args...) // a progress line that cannot be written is no reason to stop
	}
}

// DefaultDir is where a cluster of the given major version is kept between runs:
// /var/lib/scheduler/dev/<major> for root, whose home no other account can enter, otherwise
// $XDG_DATA_HOME/scheduler/dev/<major>, by default below ~/.local/share. It makes nothing.
func DefaultDir(major int) (string, error) {
	version := strconv.Itoa(major)
	if os.Geteuid() == 0 {
		return filepath.Join("/var/lib/scheduler/dev", version), nil
	}
	data := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) { // the XDG specification: relative paths are to be ignored
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("default directory of a private PostgreSQL: %w", err)
		}
		data = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(data, "scheduler", "dev", version), nil
}
