package pubsub

import (
	"context"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// sync finds out where each connected member stands as a carrier is joined: what it publishes from there on is to be delivered.
// Meanwhile frames wait in limbo.
func (in *inbox) sync() {
	var wg sync.WaitGroup
	for _, p := range in.c.bus.peers() {
		wg.Go(func() {
			rep, frames, err := in.c.bus.heads(in.ctx, p, []*carrier{in.c})
			if err != nil {
				in.c.bus.log.Debug("a member does not say where it stands", "carrier", in.c.wire, "peer", p, "error", err)
				return
			}
			in.do(func() {
				for _, f := range frames {
					in.c.retained.keep(f.messages[0])
				}
				if in.tracks[p] == nil && len(in.tracks) < tracksMax {
					in.tracks[p] = &track{publisher: p, epoch: rep.Epoch, next: rep.Heads[0].Head + 1, head: rep.Heads[0].Head, held: &in.held}
				}
			})
		})
	}
	wg.Wait()
	in.do(func() {
		limbo := in.limbo
		in.limbo = nil
		for _, f := range in.c.retained.frames() {
			in.heard(f.messages[0])
		}
		for _, f := range limbo {
			in.receive(f)
		}
		close(in.synced)
	})
}

// heads asks a member where it stands in carriers, and for their last values, of which it gives those that are news.
func (b *Bus) heads(ctx context.Context, p peer.ID, carriers []*carrier) (*reply, []*frame, error) {
	req := &request{Op: opHeads}
	for _, c := range carriers {
		req.Carriers = append(req.Carriers, c.wire)
	}
	var frames []*frame
	rep, err := b.ask(ctx, p, req, func(raw []byte) error {
		if slices.ContainsFunc(carriers, func(c *carrier) bool { return c.retained.has(raw) }) {
			return nil
		}
		for _, wire := range req.Carriers {
			f, err := openFrame(wire, raw)
			if err == nil && len(f.messages) == 1 && f.messages[0].Retain {
				frames = append(frames, f)
				return nil
			}
		}
		return errFrame
	})
	if err == nil && len(rep.Heads) != len(carriers) {
		err = errFrame
	}
	for i := range carriers {
		if err == nil && rep.Heads[i].Carrier != carriers[i].wire {
			err = errFrame
		}
	}
	return rep, frames, err
}
