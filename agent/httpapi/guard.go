package httpapi

import (
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/debros/debros/structs"
)

// guard keeps web pages of other sites from driving the API through a visitor's browser. A page
// can make a browser send requests here in three ways, each stopped by one check:
// a name of its own that resolves to this address (DNS rebinding; the Host check), scripts (the
// Origin check, and no CORS headers in any reply), and plain forms (the form check: a form can
// only GET or POST, and no GET changes anything).
type guard struct {
	hosts   map[string]bool
	origins map[string]bool
}

func newGuard(cfg Config) (guard, error) {
	g := guard{hosts: map[string]bool{"localhost": true}, origins: map[string]bool{}}
	for _, name := range append([]string{cfg.NodeName}, cfg.Hosts...) {
		if name != "" {
			g.hosts[hostName(name)] = true
		}
	}
	for _, o := range cfg.Origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
			return g, fmt.Errorf("new HTTP API: origin %q is not of the form https://host:port", o)
		}
		g.origins[strings.ToLower(o)] = true
	}
	return g, nil
}

// hostName is a Host header without its port, in lower case, without a final dot.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func (g guard) check(r *http.Request) *structs.Error {
	if err := g.checkHost(r.Host); err != nil {
		return err
	}
	return g.checkOrigin(r)
}

func (g guard) checkHost(host string) *structs.Error {
	if host == "" { // HTTP/1.0: no browser
		return nil
	}
	name := hostName(host)
	if g.hosts[name] {
		return nil
	}
	if ip, _, _ := strings.Cut(name, "%"); ip != "" {
		if _, err := netip.ParseAddr(ip); err == nil {
			return nil
		}
	}
	return structs.Errorf(structs.KindDenied, "host %q is not a name of this agent", shorten(host)).
		WithHint("use an IP address or localhost, or add the name to http_config.hosts")
}

func (g guard) checkOrigin(r *http.Request) *structs.Error {
	denied := func() *structs.Error {
		return structs.Errorf(structs.KindDenied, "requests from web pages of another site are refused").
			WithHint("add the page's origin to http_config.allow_origins")
	}
	origins := r.Header.Values("Origin")
	if len(origins) > 1 {
		return denied()
	}
	if len(origins) == 1 {
		o := strings.ToLower(origins[0])
		if g.origins[o] {
			return nil
		}
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return denied()
		}
		return nil
	}
	// Some requests of a page carry no Origin; browsers still say where they come from.
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		if r.Method != http.MethodGet {
			return denied()
		}
	}
	return nil
}

// checkForm refuses what a form on a web page could send without the browser asking first. plain: programs send
// text/plain to this route.
func checkForm(r *http.Request, plain bool) *structs.Error {
	if r.Method != http.MethodPost {
		return nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil { // none, or nothing a form would send
		return nil
	}
	if plain && kind == "text/plain" && byProgram(r) {
		return nil
	}
	switch kind {
	case "application/x-www-form-urlencoded", "multipart/form-data", "text/plain":
		return structs.Errorf(structs.KindInvalid, "a POST with the content type %s is refused: it could be a web form", kind).
			WithHint("send Content-Type: application/json")
	}
	return nil
}

// byProgram reports whether the POST comes from no browser: browsers say for whom they send one.
func byProgram(r *http.Request) bool {
	return r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Referer") == ""
}

// shorten keeps a stranger's text in a message small.
func shorten(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
