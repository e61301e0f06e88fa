package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/debros/debros/agent/config/settings"
	"github.com/debros/debros/internal/creds"
	"github.com/debros/debros/structs"
)

// addresses resolves the address keys into v.addrs.
func (v *validator) addresses() {
	c := v.c
	chosen := false
	switch {
	case c.BindAddr != "":
		if as := v.resolve("bind_addr", c.BindAddr); len(as) > 0 {
			v.addrs.Bind = v.one("bind_addr", as)
		}
	case c.origins.Refused("bind_addr"):
	case c.Dev:
		v.addrs.Bind = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		v.addrs.Bind, v.addrs.Note = v.env.chooseBind()
		chosen = true
	}
	v.bindable("bind_addr", v.addrs.Bind)
	v.advertise(chosen)
	v.addrs.Client = v.resolve("client_addr", c.ClientAddr)
	if c.Ports.HTTP < 0 {
		return
	}
	for _, a := range v.addrs.Client {
		v.bindable("client_addr", a)
	}
	if !loopback(v.addrs.Client) && c.TLS.HTTP.CAFile == "" {
		v.warn("client_addr", "bind it to 127.0.0.1, or ask for certificates with tls.http.ca_file",
			"anybody who reaches port %d may read and write", c.Ports.HTTP)
	}
}

func (v *validator) advertise(chosen bool) {
	c := v.c
	switch {
	case c.AdvertiseAddr != "":
		as := v.resolve("advertise_addr", c.AdvertiseAddr)
		if len(as) == 0 {
			return
		}
		a := v.one("advertise_addr", as)
		if a.IsUnspecified() {
			v.refuse("advertise_addr", "name an address that others can reach", "%s is no address of one host", a)
			return
		}
		if b := v.addrs.Bind; a.IsLoopback() && b.IsValid() && !b.IsLoopback() {
			v.warn("advertise_addr", "", "other machines cannot reach %s", a)
		}
		v.addrs.Advertise = a
	case v.addrs.Bind.IsUnspecified() && !chosen:
		a, note := v.env.chooseBind()
		v.addrs.Advertise = a
		v.addrs.Note = strings.Replace(note, "bind_addr is not set", "advertise_addr is not set", 1)
	default:
		v.addrs.Advertise = v.addrs.Bind
	}
}

func (v *validator) resolve(key, s string) []netip.Addr {
	as, err := v.env.resolve(s)
	if err != nil {
		v.refuse(key, "", "%v", err)
	}
	return as
}

// one refuses what came to several addresses.
func (v *validator) one(key string, as []netip.Addr) netip.Addr {
	if len(as) > 1 {
		v.refuse(key, fmt.Sprintf("choose one, such as %s = %q", key, as[0].String()), "comes to %d addresses: %s", len(as), list(as))
		return netip.Addr{}
	}
	return as[0]
}

func list(as []netip.Addr) string {
	words := make([]string, 0, len(as))
	for _, a := range as {
		words = append(words, a.String())
	}
	return strings.Join(words, ", ")
}

func (v *validator) bindable(key string, a netip.Addr) {
	if !a.IsValid() {
		return
	}
	if err := v.env.canBind(a); err != nil {
		hint := ""
		if addrs, lerr := v.env.addrs(); lerr == nil {
			var as []netip.Addr
			for _, l := range addrs {
				as = append(as, l.addr)
			}
			hint = "this host has " + list(as)
		}
		var oe *net.OpError
		if errors.As(err, &oe) {
			err = oe.Err
		}
		v.refuse(key, hint, "cannot listen on %s: %v", a, err)
	}
}

func (v *validator) ports() {
	p := v.c.Ports
	used := map[int]string{}
	for _, e := range []struct {
		key  string
		port int
		off  bool // -1 switches it off
	}{{"ports.http", p.HTTP, true}, {"ports.server", p.Server, false}, {"ports.serf_lan", p.SerfLAN, false}, {"ports.overlay", p.Overlay, true}} {
		low := 0
		if e.off {
			low = -1
		}
		if e.port < low || e.port > 65535 {
			v.refuse(e.key, "", "%d is not a port (%d to 65535)", e.port, low)
			continue
		}
		if other, ok := used[e.port]; ok && e.port > 0 {
			v.refuse(e.key, "", "%d is the port of %s too", e.port, other)
			continue
		}
		used[e.port] = e.key
	}
}

// join checks one address of retry_join.
func (v *validator) join(s string) {
	const key = "retry_join"
	if path, ok := strings.CutPrefix(s, "exec="); ok {
		fi, err := os.Stat(path)
		switch {
		case !filepath.IsAbs(path):
			v.refuse(key, "exec=/absolute/path", "%s is not the path of a program", settings.Quote(s))
		case err != nil:
			v.refuse(key, "", "%s: %v", settings.Quote(s), cause(err))
		case fi.IsDir() || fi.Mode().Perm()&0o111 == 0:
			v.refuse(key, "", "%s is not executable", settings.Quote(s))
		}
		return
	}
	hint := "host, host:port, [ip6]:port or exec=/path"
	if strings.Contains(s, "provider=") {
		hint = "providers of clouds are reached by exec=/path of a program that prints addresses"
	}
	if !validJoin(s) {
		v.refuse(key, hint, "%s is not an address", settings.Quote(s))
	}
}

func validJoin(s string) bool {
	if _, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return strings.HasPrefix(s, "[") == strings.HasSuffix(s, "]")
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Port() > 0
	}
	host, port, found := strings.Cut(s, ":")
	if found {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	return hostRE.MatchString(host)
}

// cause leaves out a path that the message has already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func (v *validator) tls() {
	t := v.c.TLS
	if t.CAFile != "" || t.CertFile != "" || t.KeyFile != "" {
		if t.CAFile == "" {
			v.refuse("tls.ca_file", "set all three, or none", "is missing beside tls.cert_file or tls.key_file")
		}
		v.keyPair("tls", t.CertFile, t.KeyFile, true)
		v.authorities("tls.ca_file", t.CAFile)
		v.identity()
	}
	v.keyPair("tls.http", t.HTTP.CertFile, t.HTTP.KeyFile, t.HTTP.CAFile != "")
	v.authorities("tls.http.ca_file", t.HTTP.CAFile)
}

func (v *validator) keyPair(block, cert, key string, needed bool) {
	if cert == "" && key == "" && !needed {
		return
	}
	if cert == "" {
		v.refuse(block+".cert_file", "set it too", "is missing")
	}
	if key == "" {
		v.refuse(block+".key_file", "set it too", "is missing")
	}
	if cert == "" || key == "" {
		return
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) && pe.Path == key {
			v.refuse(block+".key_file", "", "%s: %v", key, pe.Err)
			return
		}
		v.refuse(block+".cert_file", "", "%s: %v", cert, cause(err))
	}
}

// identity checks that the certificate lets this node be what it is to be.
func (v *validator) identity() {
	t, o := v.c.TLS, v.c.origins
	if t.CAFile == "" || t.CertFile == "" || t.KeyFile == "" || v.refusedAny("tls.ca_file", "tls.cert_file", "tls.key_file", "datacenter") || o.Unsure("server") {
		return
	}
	role := structs.RoleClient
	if v.c.Server {
		role = structs.RoleServer
	}
	_, err := creds.Open(creds.Config{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile, Role: role, Datacenter: v.c.Datacenter})
	if err != nil {
		v.refuse("tls.cert_file", "", "%v", err)
	}
}

// refusedAny reports whether one of the keys has an error.
func (v *validator) refusedAny(keys ...string) bool {
	return slices.ContainsFunc(v.problems, func(p Problem) bool { return !p.Warning && slices.Contains(keys, p.Key) })
}

func (v *validator) authorities(key, file string) {
	if file == "" {
		return
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		v.refuse(key, "", "%s: %v", file, cause(err))
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		v.refuse(key, "", "%s holds no certificate in PEM form", file)
	}
}
