//go:build linux || darwin

package privatepg

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// longestSocket is the longest path of a socket in bytes, the end mark not counted; 103 on macOS, 107 on
// Linux. PostgreSQL's own limit is the same.
const longestSocket = len(syscall.RawSockaddrUnix{}.Path) - 1

// makeSocketDir returns a directory for the server's socket that the account owns, nobody else can enter,
// and whose path is short enough. Its name depends on the cluster directory, so that URLs stay good from
// one run to the next.
func makeSocketDir(ctx context.Context, d directory, temporary bool, a account, bin binaries) (string, error) {
	name := fmt.Sprintf("sch-%x", sha256.Sum256([]byte(d.data())))[:len("sch-")+8]
	var candidates []string
	if temporary {
		candidates = append(candidates, d.run())
	}
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(runtime) {
		candidates = append(candidates, filepath.Join(runtime, name))
	}
	for _, root := range temporaryRoots() {
		candidates = append(candidates, filepath.Join(root, name))
	}
	var problems []error
	for _, dir := range candidates {
		err := checkSocketPath(dir)
		if err == nil {
			err = takeSocketDir(ctx, dir, a, bin)
		}
		if err == nil {
			return dir, nil
		}
		problems = append(problems, err)
	}
	return "", fmt.Errorf("directory for the socket: %w", errors.Join(problems...))
}

// checkSocketPath refuses a directory whose path a socket address cannot hold, or whose comma a
// connection string would take for the end of a host.
func checkSocketPath(dir string) error {
	if socket := filepath.Join(dir, ".s.PGSQL.5432"); len(socket) > longestSocket {
		return fmt.Errorf("%s has %d bytes, a socket's path can have %d", socket, len(socket), longestSocket)
	}
	if strings.Contains(dir, ",") {
		return fmt.Errorf("%s has a comma in it", dir)
	}
	return nil
}

// takeSocketDir makes dir, or takes the one that an earlier run left. Somebody else's, who could stand
// between us and the server, is refused: the name can be guessed.
func takeSocketDir(ctx context.Context, dir string, a account, bin binaries) error {
	err := makePrivate(dir, a)
	if errors.Is(err, fs.ErrExist) {
		info, err := os.Lstat(dir)
		if err != nil {
			return err
		}
		if !info.IsDir() || info.Mode().Perm() != 0o700 || int(info.Sys().(*syscall.Stat_t).Uid) != a.uid {
			return fmt.Errorf("%s exists and is not a private directory of %s", dir, a.name)
		}
	} else if err != nil {
		return err
	}
	if err := a.reach(ctx, dir, bin); err != nil {
		os.Remove(dir)
		return err
	}
	return nil
}
