package overlay

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// members knows which connected peers have proven to be members. A proof holds for the peer, that is for
// the holder of its key, until its last connection is gone.
type members struct {
	host     host.Host
	secret   []byte
	instance instance
	note     func(memberEvent) // must not block
	wg       sync.WaitGroup
	ctx      context.Context

	mu    sync.Mutex // protects the following
	peers map[peer.ID]*memberState
}

// memberState is what is known of one connected peer.
type memberState struct {
	proven   bool
	instance instance
	since    time.Time
	running  int           // proofs under way
	ended    chan struct{} // closed when the proof under way ends; nil when none is
	refused  error         // why the last proof that we began failed; nil = none did on these connections
}

// memberEvent: a peer became a member, or is no longer connected.
type memberEvent struct {
	peer   peer.ID
	joined bool
	conn   network.Conn // joined: the connection on which it was proven
	err    error        // a proof that we began failed
}

func newMembers(ctx context.Context, h host.Host, secret []byte, note func(memberEvent)) *members {
	m := &members{host: h, secret: secret, instance: newInstance(), note: note, ctx: ctx, peers: map[peer.ID]*memberState{}}
	h.SetStreamHandler(protoMember, m.serve)
	h.Network().Notify(&network.NotifyBundle{ConnectedF: m.connected, DisconnectedF: m.disconnected})
	return m
}

// has reports whether p is a connected member.
func (m *members) has(p peer.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.peers[p]
	return s != nil && s.proven
}

// stranger reports whether p is connected and no member.
func (m *members) stranger(p peer.ID) bool {
	m.mu.Lock()
	s := m.peers[p]
	proven := s != nil && s.proven
	m.mu.Unlock()
	return !proven && m.host.Network().Connectedness(p) != network.NotConnected
}

// list are the connected members.
func (m *members) list() []peer.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]peer.ID, 0, len(m.peers))
	for p, s := range m.peers {
		if s.proven {
			out = append(out, p)
		}
	}
	return out
}

// bySeniority are the connected members, the one that has been for longest first.
func (m *members) bySeniority() []peer.ID {
	list := m.list()
	m.mu.Lock()
	defer m.mu.Unlock()
	since := func(p peer.ID) (t time.Time) {
		if s := m.peers[p]; s != nil {
			t = s.since
		}
		return t
	}
	slices.SortFunc(list, func(a, b peer.ID) int { return since(a).Compare(since(b)) })
	return list
}

// connected runs inside libp2p: the one that dialled begins the proof.
func (m *members) connected(_ network.Network, c network.Conn) {
	if c.Stat().Direction != network.DirOutbound {
		return
	}
	m.start(c)
}

func (m *members) disconnected(n network.Network, c network.Conn) {
	p := c.RemotePeer()
	if n.Connectedness(p) != network.NotConnected {
		return
	}
	m.mu.Lock()
	s := m.peers[p]
	// A new connection may have come between: then its proof is under way and keeps the state.
	if s == nil || s.running > 0 || len(n.ConnsToPeer(p)) > 0 {
		m.mu.Unlock()
		return
	}
	delete(m.peers, p)
	m.mu.Unlock()
	if s.proven {
		m.note(memberEvent{peer: p})
	}
}

// start begins a proof on a connection, unless the overlay is closing.
func (m *members) start(c network.Conn) {
	if m.ctx.Err() != nil {
		return
	}
	m.begin(c.RemotePeer())
	m.wg.Go(func() {
		inst, err := m.prove(c)
		m.end(c, inst, err, true)
	})
}

func (m *members) begin(p peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.peers[p]
	if s == nil {
		s = &memberState{}
		m.peers[p] = s
	}
	if s.running++; s.running == 1 {
		s.ended = make(chan struct{})
	}
}

// end records how a proof went. ours: we began it.
func (m *members) end(c network.Conn, inst instance, err error, ours bool) {
	p := c.RemotePeer()
	m.mu.Lock()
	s := m.peers[p]
	joined := err == nil && !s.proven
	if err == nil {
		s.instance, s.refused = inst, nil
		if joined {
			s.proven, s.since = true, time.Now()
		}
	} else if ours && !s.proven && (errors.Is(err, errNotMember) || errors.Is(err, errKeyInUse)) {
		s.refused = err
	}
	s.running--
	if s.running == 0 {
		close(s.ended)
		s.ended = nil
	}
	gone := s.running == 0 && len(m.host.Network().ConnsToPeer(p)) == 0
	if gone {
		delete(m.peers, p)
	}
	m.mu.Unlock()
	switch {
	case joined:
		m.note(memberEvent{peer: p, joined: true, conn: c})
	case err != nil && ours:
		m.note(memberEvent{peer: p, err: err})
	}
	if gone && s.proven {
		m.note(memberEvent{peer: p})
	}
}

// wait reports whether p is a member, and waits for a proof under way.
func (m *members) wait(ctx context.Context, p peer.ID) bool {
	for {
		m.mu.Lock()
		s := m.peers[p]
		proven := s != nil && s.proven
		var ended chan struct{}
		if s != nil {
			ended = s.ended
		}
		m.mu.Unlock()
		if proven || ended == nil {
			return proven
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return false
		case <-m.ctx.Done():
			return false
		}
	}
}

// ensure makes sure that p, which is connected, is a member: it waits for a proof under way or begins one.
func (m *members) ensure(ctx context.Context, p peer.ID) error {
	if m.wait(ctx, p) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.refusal(p); err != nil {
		return err
	}
	conns := m.host.Network().ConnsToPeer(p)
	if len(conns) == 0 {
		return errNotMember
	}
	m.start(conns[0])
	if m.wait(ctx, p) {
		return nil
	}
	if err := m.refusal(p); err != nil {
		return err
	}
	return errNoProof
}

// refusal is why a proof with p failed for good; nil when none did on its present connections.
func (m *members) refusal(p peer.ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.peers[p]; s != nil {
		return s.refused
	}
	return nil
}

// close waits for the proofs under way; ctx has ended.
func (m *members) close() { m.wg.Wait() }
