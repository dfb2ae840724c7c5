//go:build linux || darwin

package privatepg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Server is a private PostgreSQL that Start started or found. Its methods may be called at the same time.
type Server struct {
	cfg       Config
	dir       directory
	temporary bool
	account   account
	bin       binaries
	socketDir string
	port      int
	version   string
	attached  bool

	mu      sync.Mutex
	lock    *os.File // nil when the directory is not ours: attached, or after Stop
	process *process // nil when the server does not run: attached, or after Stop, Halt or Kill
}

// Start returns a server that answers and has a database scheduler. It makes the cluster if the directory
// holds none, and attaches to the server that runs in the directory if one does.
//
// It takes about a second for a new cluster, a tenth of that for one that exists. When ctx ends before
// that, what was begun is undone. Errors: *NotFoundError when there are no programs to run; others tell
// what to change, or end with the server's own last lines.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, port: port}
	if err := s.start(ctx); err != nil {
		return nil, fmt.Errorf("start a private PostgreSQL: %w", errors.Join(err, s.Stop()))
	}
	return s, nil
}

// Major is the major version of the PostgreSQL that Start would run with cfg, as DefaultDir wants it.
// Errors: *NotFoundError as for Start.
func Major(ctx context.Context, cfg Config) (int, error) {
	s := &Server{cfg: cfg}
	err := s.choose(ctx)
	return s.bin.major, err
}

func (s *Server) start(ctx context.Context) error {
	if s.cfg.Dir != "" {
		path, err := filepath.Abs(s.cfg.Dir)
		if err != nil {
			return err
		}
		if s.dir = directory(path); s.attach(ctx) {
			return nil
		}
	}
	if err := s.choose(ctx); err != nil {
		return err
	}
	if err := s.own(ctx); err != nil || s.attached {
		return err
	}
	if err := s.initialize(ctx); err != nil {
		return err
	}
	socketDir, err := makeSocketDir(ctx, s.dir, s.temporary, s.account, s.bin)
	if err != nil {
		return err
	}
	s.socketDir = socketDir
	return s.launch(ctx, os.O_TRUNC)
}

// choose settles who runs which programs.
func (s *Server) choose(ctx context.Context) (err error) {
	if s.account, err = serverAccount(s.dir.data()); err != nil {
		return err
	}
	s.bin, err = findOrInstall(ctx, s.cfg, s.account, s.dir.data())
	s.version = s.bin.version
	return err
}

// own gets hold of the cluster directory.
func (s *Server) own(ctx context.Context) (err error) {
	if s.cfg.Dir == "" {
		s.dir, s.lock, err = makeTemporary(ctx, s.cfg.Fast, s.account, s.bin)
		s.temporary = err == nil
		return err
	}
	if err := s.dir.make(s.account); err != nil {
		return err
	}
	return s.claim(ctx)
}

// launch starts the server and waits until it answers. The caller holds the lock of the directory.
func (s *Server) launch(ctx context.Context, logFlag int) error {
	log, err := os.OpenFile(s.dir.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND|logFlag, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// The server outlives the context of its start: Stop ends it.
	cmd := s.account.command(context.WithoutCancel(ctx), "/", s.bin.postgres(), s.serverArgs()...)
	cmd.Stdout, cmd.Stderr = log, log
	endWithParent(cmd.SysProcAttr)
	p, err := run(cmd)
	if err != nil {
		return err
	}
	if err := s.awaitReady(ctx, p); err != nil {
		return errors.Join(err, p.stop())
	}
	s.process = p
	return nil
}

// SocketDir is the directory of the server's socket, .s.PGSQL.5432.
func (s *Server) SocketDir() string { return s.socketDir }

// Version is the server's version, as "15.18".
func (s *Server) Version() string { return s.version }

// Attached reports whether the server is another process's. Then Stop leaves it alone, and Halt, Kill and
// Restart are refused.
func (s *Server) Attached() bool { return s.attached }

// Stop shuts the server down (PostgreSQL's fast mode; by force if it has not ended after 10 s) and removes
// its socket, and the cluster if it is temporary. A second Stop does nothing.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached || s.lock == nil {
		return nil
	}
	err := s.halt()
	if s.socketDir != "" {
		err = errors.Join(err, os.RemoveAll(s.socketDir))
	}
	if s.temporary {
		if pm, readErr := readPostmaster(s.dir.data()); readErr == nil {
			pm.removeSegment()
		}
		err = errors.Join(err, os.RemoveAll(string(s.dir)))
	}
	err = errors.Join(err, s.lock.Close())
	s.lock = nil
	return err
}

// Halt shuts the server down as Stop does and keeps its files, a temporary cluster's too, for Restart.
func (s *Server) Halt() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached {
		return fmt.Errorf("halt: the server in %s is another process's", s.dir)
	}
	return s.halt()
}

func (s *Server) halt() error {
	if s.process == nil {
		return nil
	}
	p := s.process
	s.process = nil
	return p.stop()
}

// Kill ends the server and all its processes with SIGKILL, as a crash of PostgreSQL would, and returns
// when none is left. Its files stay as they are, for Restart; its socket too, answering nobody.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached {
		return fmt.Errorf("kill: the server in %s is another process's", s.dir)
	}
	if s.process == nil {
		return nil
	}
	p := s.process
	s.process = nil
	return p.kill()
}

// Restart starts the server again, with the same files and URL, after Halt, Kill or a death of its own, and
// after Stop unless that removed a temporary cluster. A server that runs is shut down first.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attached {
		return fmt.Errorf("restart: the server in %s is another process's", s.dir)
	}
	if err := s.relock(); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	if err := s.halt(); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	if err := takeSocketDir(ctx, s.socketDir, s.account, s.bin); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	if err := s.launch(ctx, 0); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	return nil
}

// relock takes the directory again after Stop.
func (s *Server) relock() (err error) {
	if s.lock != nil {
		return nil
	}
	if s.temporary {
		return errors.New("the temporary cluster was removed by Stop")
	}
	if s.lock, err = s.dir.lock(); err == nil && s.lock == nil {
		return fmt.Errorf("%s is in use by another process", s.dir)
	}
	return err
}
