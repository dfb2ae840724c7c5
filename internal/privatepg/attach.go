//go:build linux || darwin

package privatepg

import (
	"context"
	"fmt"
	"time"
)

// claim ends with the directory locked for us, or with us attached to the server that runs in it. While
// another process makes, starts or stops that server, it waits.
func (s *Server) claim(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); time.Since(begun) < startLimit; {
		if s.attach(ctx) {
			return nil
		}
		lock, err := s.dir.lock()
		if err != nil {
			return err
		}
		if lock != nil {
			if pm, err := readPostmaster(s.dir.data()); err != nil || !pm.alive() {
				s.lock = lock
				return nil
			}
			lock.Close() // a server without an owner is starting or stopping
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return fmt.Errorf("%s is in use by another process, whose server does not answer", s.dir)
}

// attach makes s stand for the server that runs in the directory, if one does and answers.
func (s *Server) attach(ctx context.Context) bool {
	pm, err := readPostmaster(s.dir.data())
	if err != nil {
		return false
	}
	live := Server{socketDir: pm.socketDir, port: pm.port}
	conn, err := live.connect(ctx)
	if err != nil {
		return false
	}
	defer conn.Close(ctx)
	var data, version string
	err = conn.QueryRow(ctx, "select current_setting('data_directory'), split_part(current_setting('server_version'), ' ', 1)").Scan(&data, &version)
	if err != nil || data != pm.data { // the file is an old one's, and another server has its socket
		return false
	}
	if err := createDatabase(ctx, conn); err != nil {
		return false
	}
	s.socketDir, s.port, s.version, s.attached = pm.socketDir, pm.port, version, true
	s.cfg.say("PostgreSQL %s already runs in %s: using it", s.version, s.dir)
	return true
}
