package pubsub

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/debros/debros/structs"
)

// protoMessages is the protocol in which agents ask each other for what GossipSub did not bring. One question on a stream, in
// msgpack behind its length (4 bytes, big-endian); the reply in the same way, then its frames, each behind its length.
const protoMessages protocol.ID = "/debros/messages/1.0.0"

const (
	// askTimeout bounds one question to one peer.
	askTimeout = 2 * time.Second
	// replyBytesMax bounds the frames of one reply; who asked asks for the rest.
	replyBytesMax = 4 << 20
	// replyHeaderMax bounds what comes before them.
	replyHeaderMax = 1 << 20
	// agoSlack is how much more than a span is asked for at first, since the question takes a while: rather a little too much than too little.
	agoSlack        = 50 * time.Millisecond
	replyFramesMax  = 16384
	askCarriersMax  = 4096
	askedPeersMax   = 4 // beside the publisher
	frameBytesSlack = 128 << 10
)

// What is asked.
const (
	opHeads  = "heads"  // where the asked one stands in Carriers, and their last values
	opFrames = "frames" // messages From to To of a publisher
	opTake   = "take"   // Frame, which must be known there before something else is
)

// request is a question as it travels.
type request struct {
	Op        string
	Carriers  []string `codec:",omitempty"`
	Publisher []byte   `codec:",omitempty"`
	Epoch     uint64   `codec:",omitempty"`
	From, To  uint64   `codec:",omitempty"`
	Ago       int64    `codec:",omitempty"` // ns: only frames that the asked one has known for less
	Frame     []byte   `codec:",omitempty"`
}

// reply is what comes before the frames.
type reply struct {
	Epoch  uint64 `codec:",omitempty"`
	Heads  []head `codec:",omitempty"`
	Frames int    `codec:",omitempty"`
	// Begin is the number with which what Ago asks for begins, as far as the asked one knows; 0 = it does not.
	Begin uint64 `codec:",omitempty"`
}

// head is where an agent stands in a carrier.
type head struct {
	Carrier string
	Head    uint64
}

// question is a request for messages.
type question struct {
	carrier   string
	publisher peer.ID
	epoch     uint64
	from, to  uint64
	// ago > 0 asks for what was published since then only. It is a span and no time: clocks differ.
	ago time.Duration
}

// answer is what asking has brought, by number. complete says that its publisher has nothing of what is before the first of them.
type answer struct {
	frames   []*frame
	complete bool
	begin    uint64 // as reply.Begin
}

// ask puts one request to a peer; each gets the frames as they come.
func (b *Bus) ask(ctx context.Context, p peer.ID, req *request, each func(raw []byte) error) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := b.cfg.Host.NewStream(network.WithAllowLimitedConn(ctx, "messages"), p, protoMessages)
	if err != nil {
		return nil, err
	}
	rep, err := b.converse(ctx, s, req, each)
	if err != nil {
		_ = s.Reset()
		return nil, fmt.Errorf("ask %s: %w", p, err)
	}
	_ = s.Close()
	return rep, nil
}

func (b *Bus) converse(ctx context.Context, s network.Stream, req *request, each func(raw []byte) error) (*reply, error) {
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	data, err := structs.Encode(req)
	if err != nil {
		return nil, err
	}
	if err := writeBlock(s, data); err != nil {
		return nil, err
	}
	if err := s.CloseWrite(); err != nil {
		return nil, err
	}
	head, err := readBlock(s, replyHeaderMax)
	if err != nil {
		return nil, err
	}
	var rep reply
	if err := structs.Decode(head, &rep); err != nil {
		return nil, err
	}
	if rep.Frames < 0 || rep.Frames > replyFramesMax {
		return nil, fmt.Errorf("%d frames", rep.Frames)
	}
	for range rep.Frames {
		raw, err := readBlock(s, b.frameBytesMax())
		if err != nil {
			return nil, err
		}
		if err := each(raw); err != nil {
			return nil, err
		}
	}
	return &rep, nil
}

// repair asks for messages: their publisher, and then others who may have them.
func (b *Bus) repair(ctx context.Context, c *carrier, q *question) *answer {
	a := &answer{}
	a.complete = b.askFrames(ctx, q.publisher, q, a)
	if len(a.frames) > 0 || a.begin > 0 {
		return a
	}
	asked := 0
	for _, p := range c.neighbors() {
		if p == q.publisher || asked == askedPeersMax || ctx.Err() != nil {
			continue
		}
		asked++
		if b.askFrames(ctx, p, q, a); len(a.frames) > 0 || a.begin > 0 {
			return a
		}
	}
	return a
}

// askFrames asks one peer. It reports whether that was the publisher, who said everything there is to say.
func (b *Bus) askFrames(ctx context.Context, p peer.ID, q *question, a *answer) (complete bool) {
	for slack := agoSlack; ; {
		began := time.Now()
		frames, rep, err := b.askOnce(ctx, p, q, slack)
		if err != nil {
			b.log.Debug("messages not repaired", "carrier", q.carrier, "publisher", q.publisher, "error", err)
			return false
		}
		// A question that was longer on its way than the slack may have missed the first of them.
		if took := time.Since(began); q.ago > 0 && took > slack {
			slack = 2 * took
			continue
		}
		a.frames, a.begin = frames, rep.Begin
		return p == q.publisher
	}
}

func (b *Bus) askOnce(ctx context.Context, p peer.ID, q *question, slack time.Duration) (frames []*frame, rep *reply, err error) {
	req := &request{Op: opFrames, Carriers: []string{q.carrier}, Publisher: []byte(q.publisher), Epoch: q.epoch, From: q.from, To: q.to}
	if q.ago > 0 {
		req.Ago = int64(q.ago + slack)
	}
	rep, err = b.ask(ctx, p, req, func(raw []byte) error {
		f, err := openFrame(q.carrier, raw)
		switch {
		case err != nil:
			return err
		case f.publisher != q.publisher || f.epoch != q.epoch || len(f.messages) == 0 || f.first > q.to || f.last() < q.from:
			return errors.New("not what was asked for")
		}
		frames = append(frames, f)
		return nil
	})
	return frames, rep, err
}

func writeBlock(w io.Writer, data []byte) error {
	b := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(data)), uint32(len(data))), data...)
	_, err := w.Write(b)
	return err
}

func readBlock(r io.Reader, limit int) ([]byte, error) {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(n[:])
	if int64(size) > int64(limit) {
		return nil, fmt.Errorf("a block of %d bytes; the limit is %d", size, limit)
	}
	data := make([]byte, size)
	_, err := io.ReadFull(r, data)
	return data, err
}
