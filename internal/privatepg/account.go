//go:build linux || darwin

package privatepg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user of the operating system that owns the cluster and runs the server.
type account struct {
	name     string
	uid, gid int
	drop     bool // we are root and must become this account
}

// serverAccount chooses the account for the cluster in data: ours, unless we are root, which PostgreSQL
// refuses. A cluster that exists keeps its owner.
func serverAccount(data string) (account, error) {
	if uid := os.Geteuid(); uid != 0 {
		name := "user " + strconv.Itoa(uid)
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
		return account{name: name, uid: uid, gid: os.Getegid()}, nil
	}
	if info, err := os.Stat(filepath.Join(data, "PG_VERSION")); err == nil {
		uid := int(info.Sys().(*syscall.Stat_t).Uid)
		if uid == 0 {
			return account{}, fmt.Errorf("cluster %s belongs to root, and PostgreSQL does not run as root: chown it to the account that shall run it", data)
		}
		return lookUp(user.LookupId(strconv.Itoa(uid)))
	}
	if name := os.Getenv("SCHEDULER_PG_USER"); name != "" {
		a, err := lookUp(user.Lookup(name))
		if err != nil {
			return account{}, fmt.Errorf("SCHEDULER_PG_USER: %w", err)
		}
		return a, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if a, err := lookUp(user.Lookup(name)); err == nil {
			return a, nil
		}
	}
	return account{}, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody: set SCHEDULER_PG_USER")
}

func lookUp(u *user.User, err error) (account, error) {
	if err != nil {
		return account{}, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return account{}, err
	}
	if uid == 0 {
		return account{}, fmt.Errorf("user %s is root, and PostgreSQL does not run as root", u.Username)
	}
	return account{name: u.Username, uid: uid, gid: gid, drop: true}, nil
}

// command prepares a program to be run by the account, in dir, with an environment in which no PG*
// variable and no locale of the caller's changes what PostgreSQL does.
func (a account) command(ctx context.Context, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=/", "LC_ALL=C", "TZ=UTC", "PATH=/usr/local/bin:/usr/bin:/bin"}
	for _, name := range []string{"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a.drop {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return cmd
}

// give makes the account the owner of path, which is ours.
func (a account) give(path string) error {
	if !a.drop {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// reach checks that the account can enter dir, by starting a program of PostgreSQL's there.
func (a account) reach(ctx context.Context, dir string, bin binaries) error {
	err := a.command(ctx, dir, bin.postgres(), "--version").Run()
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if closed := a.closedParent(dir); closed != "" {
		return fmt.Errorf("%s, which runs PostgreSQL, cannot get to %s, because it may not enter %s: use a directory elsewhere", a.name, dir, closed)
	}
	return fmt.Errorf("%s, which runs PostgreSQL, cannot get to %s: %w", a.name, dir, err)
}

// closedParent is the highest directory above dir whose mode keeps the account out, or "".
func (a account) closedParent(dir string) string {
	if parent := filepath.Dir(dir); parent != dir {
		if closed := a.closedParent(parent); closed != "" {
			return closed
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	enter := fs.FileMode(0o001)
	switch stat := info.Sys().(*syscall.Stat_t); {
	case int(stat.Uid) == a.uid:
		enter = 0o100
	case int(stat.Gid) == a.gid:
		enter = 0o010
	}
	if info.Mode()&enter == 0 {
		return dir
	}
	return ""
}
