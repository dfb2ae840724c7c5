// Package privatepg runs a private PostgreSQL from binaries that are already on the machine, for
// `scheduler dev` and for tests.
//
//	Dir/                  Config.Dir, or a temporary directory that Stop removes
//	├── lock              flock: one owner for a directory
//	├── postgres.log      what the server said since Start
//	├── data/             PGDATA, mode 0700, owned by the account that runs the server
//	└── run/              temporary clusters: the socket (others: $XDG_RUNTIME_DIR or the temporary directory)
//
// Invariants:
//   - The server listens on a Unix socket in a directory of mode 0700 and nowhere else. That is why
//     initdb may say "trust".
//   - The server is a direct child in a process group of its own, so Ctrl-C reaches only its parent.
//     On Linux it is asked to end when its parent dies, however that happens.
//   - A directory never gets two servers. Who finds a live one there attaches, and leaves it running.
//   - PostgreSQL refuses to run as root, so root drops to another account; nothing outside the
//     cluster's own directories changes owner.
//
// Linux and macOS only; elsewhere Start returns an error that says so. On macOS a server whose parent
// was killed with SIGKILL goes on running, and the next Start on its directory attaches to it.
//
//	server, err := privatepg.Start(ctx, privatepg.Config{Fast: true})
//	if err != nil {
//		return err // a *NotFoundError says what to install
//	}
//	defer server.Stop()
//	conn, err := pgx.Connect(ctx, server.URL("scheduler"))
package privatepg
