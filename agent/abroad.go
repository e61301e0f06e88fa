package agent

import (
	"context"
	"time"

	"github.com/debros/debros/agent/server"
)

// lookAbroad bounds the search for servers of a datacenter of which none is connected.
const lookAbroad = 5 * time.Second

// abroad reaches the servers of other datacenters by the overlay.
type abroad struct{ a *Agent }

var _ server.Abroad = abroad{}

// ServersOf implements server.Abroad: those that are connected, or else what the table knows.
func (w abroad) ServersOf(ctx context.Context, datacenter string) []string {
	if list := w.connected(datacenter); len(list) > 0 {
		return list
	}
	ctx, cancel := context.WithTimeout(ctx, lookAbroad)
	defer cancel()
	infos, err := w.a.overlay.Providers(ctx, "service:storage@"+datacenter, 3)
	if err != nil {
		w.a.log.Debug("servers of another datacenter were not found", "datacenter", datacenter, "error", err)
		return nil
	}
	for _, info := range infos {
		if err := w.a.overlay.Reach(ctx, info); err != nil {
			w.a.log.Debug("a server of another datacenter is not reached", "datacenter", datacenter, "peer", info.ID, "error", err)
		}
	}
	return w.connected(datacenter)
}

func (w abroad) connected(datacenter string) (out []string) {
	for _, p := range w.a.overlay.MembersWith(protoRPC(datacenter)) {
		out = append(out, peerAddr(datacenter, p))
	}
	return out
}

// Datacenters implements server.Abroad.
func (w abroad) Datacenters() []string {
	return datacentersOf(w.a.overlay.Peers(), w.a.Config().Datacenter)
}
