package worker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// fate is what becomes of a statement on its way.
type fate int

const (
	pass       fate = iota
	loseAnswer      // PostgreSQL carries it out, but the connection breaks before the answer
	loseRows        // the same, if the answer has rows
	late            // the answer waits for deliver
	breakOff        // the connection breaks before PostgreSQL hears of it
	hang            // it and all that follows on its connection gets nowhere; nobody hears of that
)

// proxy stands between a client and PostgreSQL and does what networks do.
type proxy struct {
	network, address string // of PostgreSQL
	dir              string // of our socket
	listener         net.Listener
	links            sync.WaitGroup

	mu    sync.Mutex
	lost  int // answers
	judge func(statement string) fate
	open  map[*link]bool
	gate  chan struct{} // closed while traffic flows
	post  chan struct{} // closed when late answers are delivered
}

// newProxy returns a proxy for the database, and its URL there.
func newProxy(t *testing.T, databaseURL string) (*proxy, string) {
	t.Helper()
	config, err := pgconn.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "px") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{dir: dir, open: map[*link]bool{}, gate: make(chan struct{}), post: make(chan struct{})}
	p.network, p.address = pgconn.NetworkAddress(config.Host, config.Port)
	close(p.gate)
	if p.listener, err = net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432")); err != nil {
		t.Fatal(err)
	}
	p.links.Go(p.accept) // until close
	t.Cleanup(p.close)
	query := url.Values{"host": {dir}, "port": {"5432"}, "user": {config.User}}
	if config.Password != "" {
		query.Set("password", config.Password)
	}
	return p, "postgres:///" + config.Database + "?" + query.Encode()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial(p.network, p.address)
		if err != nil {
			client.Close()
			continue
		}
		l := &link{proxy: p, client: client, server: server, statements: map[string]string{}}
		p.mu.Lock()
		p.open[l] = true
		p.mu.Unlock()
		p.links.Go(func() { l.pump(l.ask) })
		p.links.Go(func() { l.pump(l.answer) })
	}
}

func (p *proxy) close() {
	p.listener.Close()
	p.thaw()
	p.deliver()
	p.cut()
	p.links.Wait()
	os.RemoveAll(p.dir)
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.open {
		l.close()
	}
}

// freeze makes a black hole of the proxy: connections stay, new ones are accepted, nothing gets through.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = make(chan struct{})
}

// thaw lets traffic flow again, also what was held up.
func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
}

// deliver lets late answers through.
func (p *proxy) deliver() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.post:
	default:
		close(p.post)
	}
}

// decide sets what becomes of statements from now on; nil: all pass.
func (p *proxy) decide(judge func(statement string) fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.judge = judge
}

// doom decides for the next n statements whose file in folder sql has the name; the others pass. It counts those met.
func (p *proxy) doom(name string, n int, f fate) (met func() int) {
	var mu sync.Mutex
	count := 0
	p.decide(func(statement string) fate {
		mu.Lock()
		defer mu.Unlock()
		if count == n || !strings.HasPrefix(statement, "-- "+name+":") {
			return pass
		}
		count++
		return f
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return count
	}
}

// waiting counts the connections on which a late answer is waited for.
func (p *proxy) waiting() (n int) {
	p.mu.Lock()
	links := slices.Collect(maps.Keys(p.open)) // answer locks a link, then the proxy
	p.mu.Unlock()
	for _, l := range links {
		l.mu.Lock()
		if l.fate == late {
			n++
		}
		l.mu.Unlock()
	}
	return n
}

// answersLost counts the answers that got lost so far.
func (p *proxy) answersLost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

func (p *proxy) fateOf(statement string) fate {
	p.mu.Lock()
	judge := p.judge
	p.mu.Unlock()
	if judge == nil {
		return pass
	}
	return judge(statement)
}

func (p *proxy) flows() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gate
}

// link is one connection through the proxy.
type link struct {
	proxy          *proxy
	client, server net.Conn
	statements     map[string]string // text by name of the prepared statement
	greeted        bool

	mu   sync.Mutex
	fate fate   // of what is asked now
	held []byte // the answer, until its fate is known
	rows bool   // it has some
}

func (l *link) pump(step func() error) {
	for step() == nil {
	}
	l.close()
	l.proxy.mu.Lock()
	delete(l.proxy.open, l)
	l.proxy.mu.Unlock()
}

func (l *link) close() {
	l.client.Close()
	l.server.Close()
}

// ask passes one message of the client on.
func (l *link) ask() error {
	header := 5 // type, length
	if !l.greeted {
		header = 4
	}
	l.greeted = true
	m, err := readMessage(l.client, header)
	if err != nil {
		return err
	}
	<-l.proxy.flows()
	if header == 5 {
		switch f := l.judge(m[0], m[header:]); f {
		case pass:
		case breakOff:
			return io.EOF
		default:
			l.mu.Lock()
			l.fate = f
			l.mu.Unlock()
		}
	}
	l.mu.Lock()
	stuck := l.fate == hang
	l.mu.Unlock()
	if stuck {
		_, err := io.Copy(io.Discard, l.client)
		return fmt.Errorf("the client hung up: %w", err)
	}
	_, err = l.server.Write(m)
	return err
}

// judge returns the fate of a message: Parse is remembered, Bind and Query are decided on.
func (l *link) judge(kind byte, body []byte) fate {
	parts := bytes.SplitN(body, []byte{0}, 3)
	switch kind {
	case 'P':
		l.statements[string(parts[0])] = string(parts[1])
	case 'B':
		return l.proxy.fateOf(l.statements[string(parts[1])])
	case 'Q':
		return l.proxy.fateOf(string(parts[0]))
	}
	return pass
}

// answer passes one message of the server on. An answer that is to be lost is held until the server is ready for the next
// statement: what was asked is committed then.
func (l *link) answer() error {
	m, err := readMessage(l.server, 5)
	if err != nil {
		return err
	}
	<-l.proxy.flows()
	l.mu.Lock()
	tardy := l.fate == late
	l.mu.Unlock()
	if tardy {
		<-l.proxy.post
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fate == loseAnswer || l.fate == loseRows {
		l.held = append(l.held, m...)
		l.rows = l.rows || m[0] == 'D'
		if m[0] != 'Z' {
			return nil
		}
		if l.rows || l.fate == loseAnswer {
			l.proxy.mu.Lock()
			defer l.proxy.mu.Unlock()
			l.proxy.lost++
			return io.EOF
		}
		m = l.held
		l.fate, l.held = pass, nil
	}
	_, err = l.client.Write(m)
	return err
}

// readMessage reads a header that ends with a length, and what the length says.
func readMessage(from io.Reader, header int) ([]byte, error) {
	m := make([]byte, header)
	if _, err := io.ReadFull(from, m); err != nil {
		return nil, err
	}
	rest := make([]byte, binary.BigEndian.Uint32(m[header-4:])-4)
	_, err := io.ReadFull(from, rest)
	return append(m, rest...), err
}
