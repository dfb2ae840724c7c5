//go:build unix

package worker

import "syscall"

// readNow reads from a pipe without waiting. again: there is nothing yet; n == 0 otherwise: there will be nothing any more.
func readNow(fd uintptr, buffer []byte) (n int, again bool) {
	for {
		n, err := syscall.Read(int(fd), buffer)
		switch err { //nolint:errorlint // an Errno
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, true
		}
		return max(n, 0), false
	}
}
