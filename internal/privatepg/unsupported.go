//go:build !linux && !darwin

package privatepg

import (
	"context"
	"errors"
)

var errUnsupported = errors.New("a private PostgreSQL needs Linux or macOS: use a database of your own")

// Server cannot be had on this system.
type Server struct{}

// Start returns an error on this system.
func Start(context.Context, Config) (*Server, error) { return nil, errUnsupported }

// Major returns an error on this system.
func Major(context.Context, Config) (int, error) { return 0, errUnsupported }

// URL is never called, like all methods: there is no Server.
func (s *Server) URL(string) string { return "" }

func (s *Server) SocketDir() string             { return "" }
func (s *Server) Version() string               { return "" }
func (s *Server) Attached() bool                { return false }
func (s *Server) Stop() error                   { return nil }
func (s *Server) Halt() error                   { return errUnsupported }
func (s *Server) Kill() error                   { return errUnsupported }
func (s *Server) Restart(context.Context) error { return errUnsupported }
