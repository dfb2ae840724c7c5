//go:build linux || darwin

package privatepg

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// postmaster is what a server writes to postmaster.pid in its data directory while it runs. After a crash
// the file stays, and the next server replaces it; nobody else may.
type postmaster struct {
	pid       int
	data      string
	port      int
	socketDir string
	shmKey    int // the System V segment that keeps a second server away, and its id
	shmID     int
}

func readPostmaster(data string) (postmaster, error) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return postmaster{}, err
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 7 {
		return postmaster{}, fmt.Errorf("%s/postmaster.pid has %d lines", data, len(lines)) // a server is just starting
	}
	pm := postmaster{data: lines[1], socketDir: strings.TrimSpace(lines[4])}
	if pm.pid, err = strconv.Atoi(lines[0]); err != nil {
		return postmaster{}, err
	}
	if pm.port, err = strconv.Atoi(lines[3]); err != nil {
		return postmaster{}, err
	}
	fmt.Sscan(lines[6], &pm.shmKey, &pm.shmID) // empty on servers without such a segment
	return pm, nil
}
