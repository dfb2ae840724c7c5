//go:build linux || darwin

package privatepg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// findOrInstall is find, after an installation if need be and cfg.InstallMissing says that it may.
func findOrInstall(ctx context.Context, cfg Config, a account, data string) (binaries, error) {
	b, err := find(ctx, cfg, a, data)
	var missing *NotFoundError
	if !errors.As(err, &missing) || !cfg.InstallMissing || !canInstall() {
		return b, err
	}
	cfg.say("no PostgreSQL on this machine: installing the package postgresql with apt-get, without a cluster of the system's")
	if err := install(ctx); err != nil {
		return b, fmt.Errorf("%w\nand installing it did not work: %w", missing, err)
	}
	return find(ctx, cfg, a, data)
}

// canInstall reports whether we are root on a system of Debian's kind.
func canInstall() bool {
	release, _ := os.ReadFile("/etc/os-release")
	_, err := exec.LookPath("apt-get")
	return err == nil && os.Geteuid() == 0 && slices.Contains(systems(string(release)), "debian")
}

// install installs Debian's package. Its installation would make and start a cluster of the system's, so
// we say otherwise in a drop-in file of postgresql-common's for as long as it takes.
func install(ctx context.Context) error {
	dropIn := "/etc/postgresql-common/createcluster.d/scheduler-no-cluster.conf"
	if err := os.MkdirAll(filepath.Dir(dropIn), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(dropIn, []byte("create_main_cluster = false\n"), 0o644); err != nil {
		return err
	}
	defer os.Remove(dropIn) // if it stays, only later installations miss their main cluster

	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "postgresql"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}
