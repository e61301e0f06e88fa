package agent

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/debros/debros/structs"
)

// listeners are the TCP ports of the agent; gossip opens its own.
type listeners struct {
	server net.Listener   // nil on clients
	http   []net.Listener // one per client address
}

func (l *listeners) close() {
	if l == nil {
		return
	}
	if l.server != nil {
		_ = l.server.Close()
	}
	for _, h := range l.http {
		_ = h.Close()
	}
}

// listen opens the ports before anything is told about them.
func (a *Agent) listen() error {
	cfg := a.Config()
	a.listeners = &listeners{}
	if cfg.Server {
		l, err := listenTCP(cfg.Addrs.Bind.String(), cfg.Ports.Server, "ports.server", "server-port")
		if err != nil {
			return err
		}
		a.listeners.server = l
	}
	if cfg.Ports.HTTP < 0 {
		return nil
	}
	for _, ip := range cfg.Addrs.Client {
		l, err := listenTCP(ip.String(), cfg.Ports.HTTP, "ports.http", "http-port")
		if err != nil {
			return err
		}
		a.listeners.http = append(a.listeners.http, l)
	}
	return nil
}

// listenTCP listens, and turns the two errors that operators meet into what to do about them.
func listenTCP(ip string, port int, key, flag string) (net.Listener, error) {
	addr := net.JoinHostPort(ip, strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, structs.Errorf(structs.KindInvalid, "port %d on %s is in use by another program", port, ip).
			WithHint("set %s (-%s) to a free port, or stop that program", key, flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, structs.Errorf(structs.KindInvalid, "no interface of this machine has the address %s", ip).
			WithHint("set bind_addr (-bind), or client_addr (-client) for the HTTP API")
	case err != nil:
		return nil, fmt.Errorf("listen on %s (%s): %w", addr, key, err)
	}
	return l, nil
}

// portOf is the port that a listener really has.
func portOf(l net.Listener) int {
	if l == nil {
		return 0
	}
	return l.Addr().(*net.TCPAddr).Port
}

// ports are what this node tells others.
func (a *Agent) ports() map[string]int {
	ports := map[string]int{}
	if p := portOf(a.listeners.server); p > 0 {
		ports[structs.PortServer] = p
	}
	if len(a.listeners.http) > 0 {
		ports[structs.PortHTTP] = portOf(a.listeners.http[0])
	}
	if a.overlay != nil {
		ports[structs.PortOverlay] = a.overlay.Port()
	}
	return ports
}

// raftAddr is where other servers reach this one's Raft.
func (a *Agent) raftAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(a.Config().Addrs.Advertise.String()), Port: portOf(a.listeners.server)}
}

// HTTPAddrs are the "host:port" on which the HTTP API listens.
func (a *Agent) HTTPAddrs() (out []string) {
	for _, l := range a.listeners.http {
		out = append(out, l.Addr().String())
	}
	return out
}

// scheme is how the HTTP API is reached.
func (a *Agent) scheme() string {
	if a.Config().TLS.HTTP.CertFile != "" {
		return "https"
	}
	return "http"
}

// describeAddrs is for the log line at start.
func (a *Agent) describeAddrs() string {
	urls := a.HTTPAddrs()
	for i, u := range urls {
		urls[i] = a.scheme() + "://" + u
	}
	return strings.Join(urls, " ")
}
