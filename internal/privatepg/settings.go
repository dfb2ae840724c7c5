//go:build linux || darwin

package privatepg

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// every server is private, speaks UTC, and logs to its standard error.
var everySettings = map[string]string{
	"cluster_name":      "scheduler",
	"jit":               "off",
	"listen_addresses":  "",
	"log_destination":   "stderr",
	"log_timezone":      "UTC",
	"logging_collector": "off",
	"port":              strconv.Itoa(port),
	"shared_buffers":    "128MB",
	"timezone":          "UTC",
}

// a server for people to try the product on is as durable as PostgreSQL is by default.
var durableSettings = map[string]string{
	"log_min_duration_statement": "250ms",
	"max_connections":            "100",
}

// a server for tests keeps what was committed when it is killed (synchronous_commit on), not when the
// machine is. The tests of all packages may use it: on n processors n tests of n packages at once, with 8
// connections each, and some with 35.
var fastSettings = map[string]string{
	"autovacuum_naptime": "10s",
	"checkpoint_timeout": "30min",
	"fsync":              "off",
	"full_page_writes":   "off",
	"max_connections":    "1000",
	"max_wal_senders":    "0",
	"max_wal_size":       "1GB",
	"synchronous_commit": "on",
	"wal_level":          "minimal",
}

// serverArgs are the arguments of the postgres program.
func (s *Server) serverArgs() []string {
	settings := maps.Clone(everySettings)
	if s.cfg.Fast {
		maps.Copy(settings, fastSettings)
	} else {
		maps.Copy(settings, durableSettings)
	}
	settings["unix_socket_directories"] = `"` + strings.ReplaceAll(s.socketDir, `"`, `""`) + `"`
	if s.temporary {
		settings["dynamic_shared_memory_type"] = "mmap" // files in PGDATA: nothing outlives a Kill
	}
	maps.Copy(settings, s.cfg.Settings)

	args := []string{"-D", s.dir.data()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}
