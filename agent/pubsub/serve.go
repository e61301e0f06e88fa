package pubsub

import (
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/structs"
)

const (
	// servedMax bounds the questions that are answered at a time; others wait in their streams until they are given up.
	servedMax    = 64
	serveTimeout = 10 * time.Second
)

// serve answers one question of a member.
func (b *Bus) serve(s network.Stream) {
	select {
	case b.served <- struct{}{}:
		defer func() { <-b.served }()
	case <-b.ctx.Done():
		_ = s.Reset()
		return
	}
	_ = s.SetDeadline(time.Now().Add(serveTimeout))
	if err := b.answer(s); err != nil {
		b.log.Debug("a question about messages is not answered", "peer", s.Conn().RemotePeer(), "error", err)
		_ = s.Reset()
		return
	}
	_ = s.Close()
}

// answer reads a question and writes the reply.
func (b *Bus) answer(s io.ReadWriter) error {
	data, err := readBlock(s, b.frameBytesMax()+frameBytesSlack)
	if err != nil {
		return err
	}
	var req request
	if err := structs.Decode(data, &req); err != nil {
		return err
	}
	if len(req.Carriers) == 0 || len(req.Carriers) > askCarriersMax {
		return errFrame
	}
	rep := &reply{Epoch: b.cfg.Epoch}
	var frames []*frame
	switch req.Op {
	case opHeads:
		for _, wire := range req.Carriers {
			h := head{Carrier: wire}
			if c := b.known(wire); c != nil {
				h.Head = c.outbox.sent()
				frames = append(frames, c.retained.frames()...)
			}
			rep.Heads = append(rep.Heads, h)
		}
		frames = frames[:min(len(frames), replyFramesMax)]
	case opFrames:
		frames = b.find(&req, rep)
	case opTake:
		if err := b.taken(req.Carriers[0], req.Frame); err != nil {
			return err
		}
	default:
		return errFrame
	}
	rep.Frames = len(frames)
	if data, err = structs.Encode(rep); err != nil {
		return err
	}
	if err := writeBlock(s, data); err != nil {
		return err
	}
	for _, f := range frames {
		if err := writeBlock(s, f.raw); err != nil {
			return err
		}
	}
	return nil
}

// find gives the frames that this agent has of those a request is for: its own, or those it has received.
func (b *Bus) find(req *request, rep *reply) (out []*frame) {
	c := b.known(req.Carriers[0])
	if c == nil {
		return nil
	}
	q := &question{
		carrier: c.wire, publisher: peer.ID(req.Publisher), epoch: req.Epoch, from: req.From, to: req.To, ago: time.Duration(max(0, req.Ago)),
	}
	if q.publisher == b.self {
		out, rep.Begin = c.outbox.find(q, replyBytesMax)
	} else if in := c.inbox(); in != nil {
		in.do(func() { out, rep.Begin = in.ring.find(q, replyBytesMax), in.ring.begin(q) })
	}
	if q.ago == 0 {
		rep.Begin = 0
	}
	return out
}

// taken is a frame that another agent wants to be known here now.
func (b *Bus) taken(wire string, raw []byte) error {
	f, err := openFrame(wire, raw)
	if err != nil {
		return err
	}
	if c := b.known(wire); c != nil {
		if in := c.inbox(); in != nil && f.publisher != b.self {
			in.do(func() { in.receive(f) })
		}
	}
	return nil
}
