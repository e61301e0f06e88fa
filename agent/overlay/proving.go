package overlay

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"
)

// Times of the proof.
const (
	// proofTimeout bounds one run. The responder may have to find out that an older connection of the
	// same key is dead, which takes liveTimeout.
	proofTimeout = 10 * time.Second
	// liveTimeout is how long the older of two agents with one key has to answer.
	liveTimeout = 3 * time.Second
)

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
