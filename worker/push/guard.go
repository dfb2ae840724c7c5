package push

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// refused are the addresses that are not of the public Internet, or that lead to others: RFC 6890 and what came after it, and
// what clouds serve their secrets at.
var refused = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32", // Azure's host
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

// routed is all of IPv6 that is given out; outside of it are loopback, unique local, link local, multicast, NAT64 (64:ff9b::/96)
// and IPv4 in its other clothes.
var routed = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) (all []netip.Prefix) {
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// public reports whether an address is one of the public Internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || a.Is6() && !routed.Contains(a) {
		return false
	}
	for _, p := range refused {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// allowList is what may be connected to besides the public Internet.
type allowList struct {
	prefixes []netip.Prefix
	names    map[string]bool
}

var hostName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_.-]{0,252}[a-z0-9_])?$`)

// newAllowList reads addresses, prefixes as 10.0.0.0/8, and names of hosts as they stand in URLs.
func newAllowList(entries []string) (allowList, error) {
	list := allowList{names: map[string]bool{}}
	for _, entry := range entries {
		name := canonical(entry)
		if p, err := netip.ParsePrefix(entry); err == nil && p == p.Masked() && !p.Addr().Is4In6() {
			list.prefixes = append(list.prefixes, p)
		} else if a, err := netip.ParseAddr(entry); err == nil && a.Zone() == "" {
			list.prefixes = append(list.prefixes, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
		} else if hostName.MatchString(name) && strings.Trim(name, "0123456789.") != "" {
			list.names[name] = true
		} else {
			return list, fmt.Errorf("push: Config.Allow: %q is neither an address, a prefix as 10.0.0.0/8, nor the name of a host", entry)
		}
	}
	return list, nil
}

func canonical(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

func (l allowList) allows(host string, a netip.Addr) bool {
	a = a.Unmap()
	if l.names[canonical(host)] || public(a) {
		return true
	}
	for _, p := range l.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// refusedError: the address must not be connected to.
type refusedError struct{ address string }

func (e *refusedError) Error() string {
	return fmt.Sprintf("%s is not a public address, and not allowed (--push-allow)", e.address)
}

type hostKey struct{}

// dialer returns a function that connects to what is allowed. The check is made on the very address that is connected to,
// after the name was resolved, so that a name that resolves otherwise the second time is of no use.
func (l allowList) dialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	d.ControlContext = func(ctx context.Context, network, address string, _ syscall.RawConn) error {
		host, _ := ctx.Value(hostKey{}).(string)
		to, err := netip.ParseAddrPort(address)
		if err != nil || network != "tcp4" && network != "tcp6" || !l.allows(host, to.Addr()) {
			return &refusedError{address}
		}
		return nil
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return d.DialContext(context.WithValue(ctx, hostKey{}, host), network, address)
	}
}
