package client

import (
	"context"
	"time"

	"github.com/debros/debros/api"
)

// NetworkInfo asks the agent in use about the network (N65).
type NetworkInfo interface {
	// GetPeers lists the peers of the agent.
	GetPeers(ctx context.Context) ([]PeerInfo, error)
	GetStatus(ctx context.Context) (*NetworkStatus, error)
	// ConnectToPeer makes the agent dial a multiaddr that ends in /p2p/<id>, and keep it.
	ConnectToPeer(ctx context.Context, multiaddr string) error
	DisconnectFromPeer(ctx context.Context, id string) error
}

// PeerInfo is a peer of the agent.
type PeerInfo struct {
	ID        string
	Addresses []string
	Connected bool
	LastSeen  time.Time // zero: never
}

// NetworkStatus says how the application is connected.
type NetworkStatus struct {
	NodeID       string // peer id of the agent in use
	Connected    bool
	PeerCount    int           // members that the agent is connected to
	DatabaseSize int64         // bytes
	Uptime       time.Duration // since Connect
}

type networkInfo struct{ c *client }

func (n networkInfo) network() (*api.Network, *session, error) {
	s, err := n.c.current()
	if err != nil {
		return nil, nil, err
	}
	return s.api.Network(), s, nil
}

// GetPeers implements NetworkInfo.
func (n networkInfo) GetPeers(ctx context.Context) ([]PeerInfo, error) {
	net, _, err := n.network()
	if err != nil {
		return nil, err
	}
	peers, err := net.Peers(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]PeerInfo, 0, len(peers))
	for _, p := range peers {
		info := PeerInfo{ID: p.ID, Addresses: p.Addresses, Connected: p.Connected}
		if p.LastSeen != nil {
			info.LastSeen = *p.LastSeen
		}
		out = append(out, info)
	}
	return out, nil
}

// GetStatus implements NetworkInfo. Without a connection it answers too.
func (n networkInfo) GetStatus(ctx context.Context) (*NetworkStatus, error) {
	net, s, err := n.network()
	if err != nil {
		return &NetworkStatus{}, nil
	}
	self, err := net.Self(ctx)
	if err != nil {
		return nil, err
	}
	out := &NetworkStatus{NodeID: self.ID, Connected: true, PeerCount: self.Members, Uptime: time.Since(s.since)}
	d, _, err := s.api.SQL().ReadDatabase(ctx, n.c.cfg.DatabaseName, nil)
	if err != nil {
		return nil, err
	}
	if d != nil {
		out.DatabaseSize = d.SizeBytes
	}
	return out, nil
}

// ConnectToPeer implements NetworkInfo.
func (n networkInfo) ConnectToPeer(ctx context.Context, multiaddr string) error {
	net, _, err := n.network()
	if err != nil {
		return err
	}
	_, err = net.Connect(ctx, multiaddr)
	return err
}

// DisconnectFromPeer implements NetworkInfo.
func (n networkInfo) DisconnectFromPeer(ctx context.Context, id string) error {
	net, _, err := n.network()
	if err != nil {
		return err
	}
	return net.Disconnect(ctx, id)
}
