package agent

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/debros/debros/agent/overlay"
	"github.com/debros/debros/agent/router"
	"github.com/debros/debros/internal/version"
	"github.com/debros/debros/structs"
)

// peerPrefix begins the address of a server that is reached by its peer id, over the overlay: p2p/<datacenter>/<id>.
const peerPrefix = "p2p/"

func peerAddr(datacenter string, p peer.ID) string { return peerPrefix + datacenter + "/" + p.String() }

// edgePoll is how often an edge agent that waits for its first server looks for one.
const edgePoll = 50 * time.Millisecond

// protoRPC is the RPC of the servers of a datacenter. The name tells an edge agent who serves it: peers
// tell each other their protocols on every connection.
func protoRPC(datacenter string) protocol.ID {
	return protocol.ID("/debros/rpc/1.0.0/" + datacenter)
}

// isEdge reports a client agent that has no LAN with a server: it was told members of the overlay, and
// nobody to join.
func (a *Agent) isEdge() bool {
	cfg := a.Config()
	return !cfg.Server && a.overlay != nil && len(cfg.Overlay.Bootstrap) > 0 && len(cfg.RetryJoin) == 0
}

// serveRPCStreams lets members reach this server's RPC over the overlay.
func (a *Agent) serveRPCStreams() error {
	if a.overlay == nil {
		return nil
	}
	l, err := a.overlay.Listen(protoRPC(a.Config().Datacenter), overlay.MembersOnly)
	if err != nil {
		return fmt.Errorf("serve rpc to peers: %w", err)
	}
	a.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // the overlay is closed
			}
			a.transport.ServeConn(c)
		}
	})
	return nil
}

// dialRPC opens a connection to a server, by TCP or by peer id.
func (a *Agent) dialRPC(ctx context.Context, addr string) (net.Conn, error) {
	text, byPeer := strings.CutPrefix(addr, peerPrefix)
	if !byPeer {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	datacenter, text, _ := strings.Cut(text, "/")
	id, err := peer.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("peer id %q: %w", text, err)
	}
	return a.overlay.Dial(ctx, id, protoRPC(datacenter))
}

// edgeServers are the servers of this datacenter among the connected members.
func (a *Agent) edgeServers() (out []router.Server) {
	dc := a.Config().Datacenter
	for _, p := range a.overlay.MembersWith(protoRPC(dc)) {
		out = append(out, router.Server{ID: structs.NodeID(p.String()), Addr: peerAddr(dc, p), Datacenter: dc, Far: true})
	}
	return out
}

// describeEdge adds what gossip would say of this agent, and how it reaches the servers.
func (a *Agent) describeEdge(req *structs.NodeRegisterRequest) {
	req.Edge = &structs.EdgeNode{Address: ownAddress(a.overlay.Self().Addrs), Version: version.Version(), Ports: map[string]int{}}
	if p := a.overlay.Port(); p != 0 {
		req.Edge.Ports[structs.PortOverlay] = p
	}
	if req.Meta == nil {
		req.Meta = map[string]string{}
	}
	servers := map[structs.NodeID]bool{}
	for _, s := range a.edgeServers() {
		servers[s.ID] = true
	}
	// Of several ways the best one: a direct one counts, however many are relayed.
	var best *overlay.Conn
	for _, p := range a.overlay.Peers() {
		if !servers[structs.NodeID(p.ID.String())] {
			continue
		}
		if c, ok := bestConn(p); ok && (best == nil || worse(*best, c)) {
			best = &c
		}
	}
	if best != nil {
		via := viaOf(*best)
		if !best.Relayed {
			via += " " + best.Transport
		}
		req.Meta[structs.MetaVia] = via
	}
}

// leaveEdge takes the agent's row away; the servers would find out by its silence.
func (a *Agent) leaveEdge(ctx context.Context) error {
	req := &structs.NodeRegisterRequest{Name: a.Config().NodeName, ID: a.node.ID(), Edge: &structs.EdgeNode{Leaves: true}}
	var reply structs.WriteReply
	return a.cluster.RPC(ctx, "Catalog.Register", req, &reply)
}

// awaitEdge makes an edge agent ready when it has found its first server.
func (a *Agent) awaitEdge() {
	for len(a.edgeServers()) == 0 {
		if a.sleep(a.ctx, edgePoll) != nil {
			return
		}
	}
	if err := a.registerOnce(); err != nil { // so that who waits for it to be ready can make sessions
		a.log.Debug("edge agent not registered yet", "error", err)
	}
	a.seenOnce.Do(func() { close(a.serverSeen) })
}
