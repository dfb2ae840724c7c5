package push

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

func TestAddressesThatAreNotPublic(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.1.2.3",
		"169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1",
		"192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1",
		"255.255.255.255", "168.63.129.16",
		"::", "::1", "::7f00:1", "::10.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
		"64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "5f00::1",
		"fc00::1", "fd00:ec2::254", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff05::2", "4000::1", "2606:4700::1%eth0",
	} {
		if a := netip.MustParseAddr(text); public(a) {
			t.Errorf("%s passes", text)
		}
	}
	for _, text := range []string{"1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "169.253.0.1", "192.0.1.1",
		"198.17.0.1", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450::1", "::ffff:1.1.1.1"} {
		if a := netip.MustParseAddr(text); !public(a) {
			t.Errorf("%s does not pass", text)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address passes")
	}
}

// However this machine is spelled, nothing connects to it: what a name resolves to is checked, not the name.
func TestNothingConnectsToThisMachine(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	none, err := newAllowList(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(none)
	for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001",
		"0177.0.0.1", "0", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]",
		"127.0.0.1.", "127。0。0。1", "①27.0.0.1", "ip6-localhost", "%31%32%37.0.0.1"} {
		request, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+host+":"+port+"/", strings.NewReader("{}"))
		if err != nil {
			continue // as good
		}
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
			t.Errorf("%s: %s", host, response.Status)
		}
	}
	var address *refusedError
	if _, err := none.dialer()(t.Context(), "tcp", "localhost:"+port); !errors.As(err, &address) {
		t.Errorf("localhost: %v", err)
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d requests came through", n)
	}
	if client.Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy would be used")
	}
}

func TestAllowList(t *testing.T) {
	t.Parallel()
	list, err := newAllowList([]string{"10.1.0.0/16", "127.0.0.1", "fd00::/8", "LocalHost.", "intern.example", "::ffff:192.168.7.7"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, address string
		want          bool
	}{
		{"a", "10.1.2.3", true}, {"a", "10.2.2.3", false}, {"a", "::ffff:10.1.2.3", true}, {"a", "127.0.0.1", true}, {"a", "127.0.0.2", false},
		{"a", "fd00:ec2::254", true}, {"a", "fe80::1", false}, {"localhost", "127.0.0.2", true}, {"localhost.", "::1", true},
		{"INTERN.example", "192.168.1.1", true}, {"x.intern.example", "192.168.1.1", false}, {"a", "192.168.7.7", true}, {"a", "1.1.1.1", true},
	} {
		if got := list.allows(c.host, netip.MustParseAddr(c.address)); got != c.want {
			t.Errorf("%s at %s: %v", c.host, c.address, got)
		}
	}
	for _, bad := range []string{"::ffff:10.0.0.0/104", "fe80::1%eth0", "", "10.0.0.1/8", "10.0.0.0/33", "a b", "http://localhost", "localhost:80", "-x", "1.2.3", "*", "a/b"} {
		if _, err := newAllowList([]string{bad}); err == nil || !strings.Contains(err.Error(), "Config.Allow") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A connection to a name that is allowed is made; it shows that the guard is what stops the others.
func TestAllowedNameConnects(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for _, entry := range []string{"127.0.0.0/8", "127.0.0.1"} {
		list, err := newAllowList([]string{entry})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := list.dialer()(context.Background(), "tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}
