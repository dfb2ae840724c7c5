package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

const (
	chunkTasks = 1000                  // of one transaction
	chunkBytes = 4 << 20               // of its lines, unless one alone has more
	chunkWait  = 20 * time.Millisecond // for a chunk to become full, so that a slow client has its answers
)

// lines reads a body line by line, in the background: while a chunk is stored the next one comes in. It holds a few lines
// and no more; when nobody takes them, the client has to wait.
type lines struct {
	control *http.ResponseController
	body    io.Reader
	wait    time.Duration // for the client to send anything
	found   chan []byte   // without their ends; one longer than maxBody is cut behind that
	failed  error         // why the body was not read to its end; to be read when found is closed
	halt    context.CancelFunc
}

// readLines begins to read. The caller ends it with stop.
func (s *server) readLines(w http.ResponseWriter, r *http.Request) *lines {
	ctx, halt := context.WithCancel(context.WithoutCancel(r.Context())) // a client that is gone ends the body, behind its last whole line
	l := &lines{control: http.NewResponseController(w), body: r.Body, wait: s.bodyWait, found: make(chan []byte, 16), halt: halt}
	go l.read(ctx) // ends with the body, or by stop, which waits for it
	return l
}

func (l *lines) read(ctx context.Context) {
	defer close(l.found)
	in := bufio.NewReaderSize(readerFunc(func(b []byte) (int, error) {
		_ = l.control.SetReadDeadline(time.Now().Add(l.wait)) // no connection has none
		if err := ctx.Err(); err != nil {
			return 0, err // after the deadline, which stop may have set just before
		}
		return l.body.Read(b)
	}), 64<<10)
	for {
		line, err := readLine(in)
		if err != nil && err != io.EOF {
			l.failed = err // what there is of the line may look whole
			return
		}
		if line = bytes.Trim(line, " \t\r\n"); len(line) > 0 {
			select {
			case l.found <- line:
			case <-ctx.Done():
				return
			}
		}
		if err == io.EOF {
			return
		}
	}
}

// readLine returns the next line, of a longer one than maxBody as much as shows that.
func readLine(in *bufio.Reader) (line []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part[:min(len(part), maxBody+1-len(line))]...)
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}

// chunk waits for a line and returns what comes with it; more: there may be another.
func (l *lines) chunk() (list [][]byte, more bool) {
	line, more := <-l.found
	if !more {
		return nil, false
	}
	full := time.NewTimer(chunkWait)
	defer full.Stop()
	for bytes := 0; ; {
		list = append(list, line)
		if bytes += len(line); len(list) == chunkTasks || bytes > chunkBytes {
			return list, true
		}
		select {
		case line, more = <-l.found:
			if !more {
				return list, false
			}
		case <-full.C:
			return list, true
		}
	}
}

// stop ends the reading. A client that still sends has a moment to see the last line of its answer and to stop by itself:
// closing the connection under it may take that line away.
func (l *lines) stop(within time.Duration) {
	cut := time.AfterFunc(within, func() {
		l.halt()
		_ = l.control.SetReadDeadline(time.Now())
	})
	for range l.found { // nobody wants them any more
	}
	cut.Stop()
	l.halt()
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
