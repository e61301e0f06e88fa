package overlay

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multistream"

	"github.com/libp2p/go-libp2p/core/protocol"
)

// Times of the proof.
const (
	// proofTimeout bounds one run. The responder may have to find out that an older connection of the
	// same key is dead, which takes liveTimeout.
	proofTimeout = 10 * time.Second
	// liveTimeout is how long the older of two agents with one key has to answer.
	liveTimeout = 3 * time.Second
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

// prove runs the protocol on a connection as its initiator.
func (m *members) prove(c network.Conn) (instance, error) {
	ctx, cancel := context.WithTimeout(m.ctx, proofTimeout)
	defer cancel()
	s, err := openOn(ctx, c, protoMember)
	if err != nil {
		var unknown multistream.ErrNotSupported[protocol.ID]
		if errors.As(err, &unknown) {
			err = errNotMember
		}
		return instance{}, err
	}
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(proofTimeout))
	inst, err := initiate(s, m.secret, c.LocalPeer(), c.RemotePeer(), m.instance)
	if err != nil {
		_ = s.Reset()
		// The stream was refused while the connection holds: the other side does not take us for a member.
		if se := new(network.StreamError); errors.As(err, &se) && se.Remote || errors.Is(err, io.EOF) {
			err = errNotMember
		}
	}
	return inst, err
}

// openOn opens a stream on one connection and no other.
func openOn(ctx context.Context, c network.Conn, pid protocol.ID) (network.Stream, error) {
	s, err := c.NewStream(network.WithAllowLimitedConn(ctx, "member"))
	if err != nil {
		return nil, err
	}
	if d, ok := ctx.Deadline(); ok {
		_ = s.SetDeadline(d)
	}
	if _, err = multistream.SelectOneOf([]protocol.ID{pid}, s); err == nil {
		if err = s.SetProtocol(pid); err == nil {
			return s, nil
		}
	}
	_ = s.Reset()
	return nil, err
}

// serve answers a proof.
func (m *members) serve(s network.Stream) {
	defer s.Close()
	c := s.Conn()
	p := c.RemotePeer()
	if m.ctx.Err() != nil {
		_ = s.Reset()
		return
	}
	_ = s.SetDeadline(time.Now().Add(proofTimeout))
	m.begin(p)
	var inst instance
	err := respond(s, m.secret, c.LocalPeer(), p, m.instance, func(i instance) verdict {
		inst = i
		if m.usedElsewhere(c, i) {
			return verdictInUse
		}
		return verdictMember
	})
	m.end(c, inst, err, false)
	if err == nil {
		return
	}
	if errors.Is(err, errKeyInUse) {
		// The other side reads the verdict and hangs up; if it does not, we do.
		_ = s.CloseWrite()
		_ = s.SetReadDeadline(time.Now().Add(liveTimeout))
		_, _ = s.Read(make([]byte, 1))
		_ = c.Close()
		return
	}
	_ = s.Reset()
	if errors.Is(err, errNotMember) {
		countRefused(protoMember)
	}
}

// usedElsewhere reports whether another run of the peer's agent lives: it has a connection to us that
// answers. One that does not answer is the same agent's, before it was started again.
func (m *members) usedElsewhere(newer network.Conn, inst instance) bool {
	p := newer.RemotePeer()
	m.mu.Lock()
	s := m.peers[p]
	same := s == nil || !s.proven || s.instance == inst
	m.mu.Unlock()
	if same {
		return false
	}
	ctx, cancel := context.WithTimeout(m.ctx, liveTimeout)
	defer cancel()
	for _, c := range m.host.Network().ConnsToPeer(p) {
		if c == newer || c.Stat().Opened.After(newer.Stat().Opened) {
			continue
		}
		if pingOn(ctx, c) == nil {
			return true
		}
		_ = c.Close()
	}
	return false
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
