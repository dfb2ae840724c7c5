//go:build linux || darwin

package privatepg

import (
	"context"
	"fmt"
	"os"
	"runtime"
)

// initialize makes the cluster's files if there are none. It works beside them and renames at the end, so
// that an initdb which was cut short leaves nothing that looks like a cluster.
func (s *Server) initialize(ctx context.Context) error {
	if clusterMajor(s.dir.data()) != 0 {
		return s.account.reach(ctx, s.dir.data(), s.bin)
	}
	s.cfg.say("creating a PostgreSQL %d cluster in %s", s.bin.major, s.dir)
	unfinished := s.dir.data() + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if err := makePrivate(unfinished, s.account); err != nil {
		return err
	}
	if err := s.account.reach(ctx, unfinished, s.bin); err != nil {
		return err
	}
	out, err := s.account.command(ctx, "/", s.bin.initdb(), s.initdbArgs(unfinished)...).CombinedOutput()
	if err != nil {
		os.RemoveAll(unfinished)
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return os.Rename(unfinished, s.dir.data())
}

func (s *Server) initdbArgs(data string) []string {
	args := []string{"-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-instructions"}
	switch {
	case s.bin.major >= 17:
		args = append(args, "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
	case runtime.GOOS == "darwin":
		args = append(args, "--locale=C") // macOS has no C.UTF-8 before version 15
	default:
		args = append(args, "--locale=C.UTF-8")
	}
	if s.cfg.Fast {
		args = append(args, "--no-sync")
	}
	return args
}
