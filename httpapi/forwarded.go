package httpapi

import (
	"net/http"
	"net/netip"
	"strings"
)

// foreign returns the header by which a request is for another name than this machine's, or, as a proxy in front says, from another
// machine; "": none. Many proxies send the Host of their own configuration, 127.0.0.1, whoever asks.
func foreign(r *http.Request) (header string) {
	if !loopbackHost(r.Host) {
		return "Host"
	}
	for _, header := range []string{"X-Forwarded-Host", "X-Forwarded-For", "X-Real-Ip"} {
		for _, name := range forwarded(r, header) {
			if !loopbackHost(name) {
				return header
			}
		}
	}
	for _, hop := range forwarded(r, "Forwarded") { // RFC 7239: for=192.0.2.60;host="shop.example.org"
		for pair := range strings.SplitSeq(hop, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if name = strings.ToLower(name); (name == "for" || name == "host") && !loopbackHost(strings.Trim(value, `"`)) {
				return "Forwarded"
			}
		}
	}
	return ""
}

// forwardedFor is the address from which the proxy in front was asked: the last one, which it added itself. It is no proof: anybody may
// send the header.
func forwardedFor(r *http.Request) (from netip.Addr, ok bool) {
	list := forwarded(r, "X-Forwarded-For")
	if len(list) == 0 {
		return from, false
	}
	last := list[len(list)-1]
	from, err := netip.ParseAddr(strings.Trim(last, "[]"))
	if withPort, failed := netip.ParseAddrPort(last); failed == nil { // as some send it
		from, err = withPort.Addr(), nil
	}
	return from.Unmap(), err == nil && from.Zone() == ""
}

// forwarded are the values of a header that each proxy on the way may have added to.
func forwarded(r *http.Request, header string) (list []string) {
	for value := range strings.SplitSeq(strings.Join(r.Header.Values(header), ","), ",") {
		if value = strings.TrimSpace(value); value != "" {
			list = append(list, value)
		}
	}
	return list
}
