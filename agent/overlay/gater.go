package overlay

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// gater decides which addresses are dialled. Addresses of a stranger come from himself: a private one
// would make this node knock at doors of its own network for him.
type gater struct {
	rule    addrRule
	members atomic.Pointer[members] // set before the host listens

	mu    sync.RWMutex // protects the following
	named map[peer.ID]map[string]bool
}

var _ connmgr.ConnectionGater = (*gater)(nil)

func newGater(rule addrRule) *gater {
	return &gater{rule: rule, named: map[peer.ID]map[string]bool{}}
}

// name lets addresses of a peer be dialled whatever the rule says: the operator or gossip named them.
func (g *gater) name(p peer.ID, addrs []ma.Multiaddr) {
	set := make(map[string]bool, len(addrs))
	for _, a := range addrs {
		set[string(a.Bytes())] = true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.named[p] = set
}

func (g *gater) forget(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.named, p)
}

func (g *gater) isNamed(p peer.ID, a ma.Multiaddr) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.named[p][string(a.Bytes())]
}

// reaches are those addresses of a peer that this node may dial.
func (g *gater) reaches(p peer.ID, addrs []ma.Multiaddr) (out []ma.Multiaddr) {
	for _, a := range addrs {
		if g.isNamed(p, a) || g.rule.usable(a) {
			out = append(out, a)
		}
	}
	return out
}

// InterceptPeerDial implements connmgr.ConnectionGater.
func (g *gater) InterceptPeerDial(peer.ID) bool { return true }

// InterceptAddrDial implements connmgr.ConnectionGater.
func (g *gater) InterceptAddrDial(p peer.ID, a ma.Multiaddr) bool {
	if g.isNamed(p, a) {
		return true
	}
	if !g.rule.usable(a) {
		return false
	}
	m := g.members.Load()
	return !private(a) || m == nil || !m.stranger(p)
}

// InterceptAccept implements connmgr.ConnectionGater.
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured implements connmgr.ConnectionGater.
func (g *gater) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

// InterceptUpgraded implements connmgr.ConnectionGater.
func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// quiet passes on warnings and errors of the library, as debug lines: what they are about is the
// network, and what it means for this node we say ourselves.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, slog.LevelDebug)
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(as []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(as)} }
func (q quiet) WithGroup(name string) slog.Handler    { return quiet{q.Handler.WithGroup(name)} }
