package worker

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
)

// maxMessage is the longest line of which all is read, in bytes; of longer ones on stdout and stderr the rest is dropped.
const maxMessage = 1 << 20

// lines cuts what a child writes into lines. Of one longer than limit the rest is dropped; long hears of it, unless nil.
type lines struct {
	limit int
	line  func(string)
	long  func()
	begun []byte // of the line that has no end yet
	cut   bool   // the rest of it was dropped
}

func (l *lines) feed(p []byte) {
	for {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			l.keep(p)
			return
		}
		l.keep(p[:end])
		l.end()
		p = p[end+1:]
	}
}

func (l *lines) keep(p []byte) {
	if room := l.limit - len(l.begun); len(p) > room {
		p = p[:room]
		if !l.cut && l.long != nil {
			l.long()
		}
		l.cut = true
	}
	l.begun = append(l.begun, p...)
}

// end passes on the line that has begun.
func (l *lines) end() {
	line := strings.TrimRight(string(l.begun), "\r\n")
	if l.begun = l.begun[:0]; cap(l.begun) > maxMessage {
		l.begun = nil
	}
	l.cut = false
	l.line(line)
}

// flush passes on a line that has begun, if there is one.
func (l *lines) flush() {
	if len(l.begun) > 0 {
		l.end()
	}
}

// read feeds a pipe until its end, or until it is cut off.
func (l *lines) read(pipe *os.File) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := pipe.Read(buffer)
		l.feed(buffer[:n])
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				l.rest(pipe, buffer)
			}
			l.flush()
			return
		}
	}
}

// rest feeds what is in a pipe by now.
func (l *lines) rest(pipe *os.File, buffer []byte) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // closed: there is nothing to read
		for range caughtUp {
			n, _ := readNow(fd, buffer)
			if n == 0 {
				return
			}
			l.feed(buffer[:n])
		}
	})
}

// readLines calls line for each line until the end of a pipe. Lines longer than maxMessage are cut.
func readLines(pipe *os.File, line func(string)) { (&lines{limit: maxMessage, line: line}).read(pipe) }

// stream is a pipe of a child whose lines belong to whichever task is open: catchUp reads what is in the pipe already, so that
// the lines that were written before a task's end are counted to that task. Safe for concurrent use.
type stream struct {
	file *os.File

	mu     sync.Mutex
	lines  lines
	buffer []byte
}

func newStream(file *os.File, line func(string)) *stream {
	return &stream{file: file, lines: lines{limit: maxMessage, line: line}, buffer: make([]byte, 32<<10)}
}

// run reads until the end of the pipe, or until it is cut off.
func (s *stream) run() {
	raw, err := s.file.SyscallConn()
	if err == nil {
		err = raw.Read(func(fd uintptr) bool { return s.take(fd, endless) })
	}
	cutOff := errors.Is(err, os.ErrDeadlineExceeded)
	if cutOff {
		s.catchUp()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines.flush()
	if err != nil && !cutOff && !errors.Is(err, os.ErrClosed) {
		s.lines.line("the pipe cannot be read: " + err.Error())
	}
}

const (
	endless  = 0
	caughtUp = 64 // reads; a child that writes faster than that is read is not waited for
)

// catchUp reads what was written so far, a line without an end too.
func (s *stream) catchUp() {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { s.take(fd, caughtUp) }) // closed: there is nothing to read
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines.flush()
}

// take reads what is there, at most so many times, and reports whether that was the end.
func (s *stream) take(fd uintptr, times int) (end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 0; times == endless || i < times; i++ {
		n, again := readNow(fd, s.buffer)
		if n > 0 {
			s.lines.feed(s.buffer[:n])
			continue
		}
		return !again
	}
	return false
}
