//go:build linux || darwin

package privatepg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// directory is a cluster directory; doc.go draws what is in it.
type directory string

func (d directory) data() string    { return filepath.Join(string(d), "data") }
func (d directory) run() string     { return filepath.Join(string(d), "run") }
func (d directory) logFile() string { return filepath.Join(string(d), "postgres.log") }

// make makes the directory and its missing parents such that the account can get through them, whatever
// the umask is. Directories that exist keep their mode.
func (d directory) make(a account) error {
	path := string(d)
	if _, err := os.Stat(filepath.Join(path, "PG_VERSION")); err == nil {
		return fmt.Errorf("%s holds the files of a PostgreSQL itself: give a directory of its own", path)
	}
	var missing []string
	for parent := path; ; parent = filepath.Dir(parent) {
		if _, err := os.Stat(parent); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, parent)
	}
	mode := fs.FileMode(0o700)
	if a.drop {
		mode = 0o711 // from the beginning: whoever finds the directory there takes it to be finished
	}
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	if !a.drop {
		return nil
	}
	for _, dir := range missing {
		if err := os.Chmod(dir, 0o711); err != nil {
			return err
		}
	}
	return nil
}

// lock takes the directory for us until the file is closed. It returns nil when somebody else has it.
func (d directory) lock() (*os.File, error) {
	return flock(filepath.Join(string(d), "lock"), os.O_CREATE)
}

// lockNew is lock for a directory that nobody knows yet. The file gets its name once it is locked, so
// that sweep never meets one that is not.
func (d directory) lockNew() (*os.File, error) {
	unnamed := filepath.Join(string(d), "lock.new")
	file, err := flock(unnamed, os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(unnamed, filepath.Join(string(d), "lock")); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func flock(path string, flags int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// temporaryPrefix begins the names of temporary cluster directories.
const temporaryPrefix = "scheduler-pg-"

// makeTemporary makes a locked directory in the first place for temporary files that the account can
// enter: TMPDIR may be missing, closed to it, or on a file system without owners. A fast cluster goes to memory where there is
// plenty: tests make and drop files by the ten thousand, on which ext4 spends much time.
func makeTemporary(ctx context.Context, fast bool, a account, bin binaries) (directory, *os.File, error) {
	var problems []error
	for _, root := range append(memoryRoots(fast), temporaryRoots()...) {
		sweep(root)
		path, err := os.MkdirTemp(root, temporaryPrefix)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		d := directory(path)
		lock, err := d.settle(ctx, a, bin)
		if err == nil {
			return d, lock, nil
		}
		problems = append(problems, err)
		os.RemoveAll(path)
	}
	return "", nil, fmt.Errorf("temporary cluster directory: %w", errors.Join(problems...))
}

// settle opens a new directory to the account, and locks it.
func (d directory) settle(ctx context.Context, a account, bin binaries) (*os.File, error) {
	if a.drop {
		if err := os.Chmod(string(d), 0o711); err != nil {
			return nil, err
		}
	}
	if err := makePrivate(d.run(), a); err != nil {
		return nil, err
	}
	if err := a.reach(ctx, d.run(), bin); err != nil {
		return nil, err
	}
	return d.lockNew()
}

// makePrivate makes a directory that only the account (and root) can enter.
func makePrivate(path string, a account) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return a.give(path)
}

// plenty is what must be free for a cluster in memory, and as much again for everything else. A variable for tests.
var plenty int64 = 6 << 30 // bytes

// memoryRoots is the directory in memory for a fast cluster, if there is one with room, and if TMPDIR asks for no other place.
func memoryRoots(fast bool) []string {
	if !fast || os.Getenv("TMPDIR") != "" || memoryLeft() < 2*plenty || freeInMemory(memoryRoot) < plenty {
		return nil
	}
	return []string{memoryRoot}
}

// temporaryRoots are the directories for temporary files, best first.
func temporaryRoots() []string {
	roots := []string{"/tmp", "/var/tmp"}
	if own, err := filepath.Abs(os.TempDir()); err == nil && own != roots[0] {
		roots = append([]string{own}, roots...)
	}
	return roots
}

// sweep removes temporary clusters of ours whose process was killed before it could: nobody holds the
// lock, and no server runs.
func sweep(root string) {
	paths, _ := filepath.Glob(filepath.Join(root, temporaryPrefix+"*")) // a root with a [ in it is left unswept
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
			continue
		}
		lock, err := flock(filepath.Join(path, "lock"), 0)
		if err != nil || lock == nil {
			continue
		}
		if pm, err := readPostmaster(directory(path).data()); err != nil || !pm.alive() {
			os.RemoveAll(path)
		}
		lock.Close()
	}
}
