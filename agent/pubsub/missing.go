package pubsub

import (
	"time"

	"github.com/debros/debros/structs"
)

// This file is what an inbox does about what did not come.

// giveUp tells subscriptions of the first messages that are missing, and goes on behind them; false when nothing is missing.
func (in *inbox) giveUp(t *track) bool {
	from, to, missing := t.missing()
	if !missing {
		return false
	}
	g := &structs.MessageGap{Publisher: structs.NodeID(t.publisher.String()), Epoch: t.epoch, From: from, To: to}
	if t.begin {
		g.From, g.To = 0, 0 // some of it may have been sent after this began, nobody can say
	}
	in.c.bus.log.Warn("messages are lost", "carrier", in.c.wire, "publisher", t.publisher, "from", from, "to", to)
	in.lost(g)
	in.deliver(t.skip())
	return true
}

// lost tells subscriptions of a gap.
func (in *inbox) lost(g *structs.MessageGap) {
	in.c.space.counts.gaps.Add(1)
	in.c.space.meter("gaps", 1)
	in.index.tell(structs.MessageItem{Gap: g})
}

// refuse does without a frame of a publisher for whom there is no place. Its messages are lost here, which subscriptions are told.
func (in *inbox) refuse(f *frame) {
	in.c.space.counts.refused.Add(1)
	count("refused", 1)
	if len(f.messages) > 0 {
		in.lost(&structs.MessageGap{Publisher: structs.NodeID(f.publisher.String()), Epoch: f.epoch, From: f.first, To: f.last()})
	}
}

// watch has look called when something of a track is to be asked for.
func (in *inbox) watch(t *track) {
	t.look(time.Now())
	if !t.due.IsZero() && !t.asking && t.due.Before(in.wake) {
		in.wakeAt(t.due)
	}
}

func (in *inbox) wakeAt(at time.Time) {
	in.wake = at
	in.timer.Reset(time.Until(at))
}

// look asks for what is due, and sets the timer for what will be.
func (in *inbox) look() {
	now := time.Now()
	next := now.Add(time.Hour)
	for _, t := range in.tracks {
		switch {
		case t.due.IsZero() || t.asking:
		case !t.due.After(now):
			in.ask(t)
		case t.due.Before(next):
			next = t.due
		}
	}
	in.wakeAt(next)
}

// ask asks for what is missing of a track, in a goroutine of its own.
func (in *inbox) ask(t *track) {
	from, to, missing := t.missing()
	if !missing {
		t.look(time.Now())
		return
	}
	q := &question{carrier: in.c.wire, publisher: t.publisher, epoch: t.epoch, from: from, to: to}
	if t.begin {
		q.ago = time.Since(in.begun)
	}
	t.asking = true
	in.c.bus.spawn(func() {
		a := in.c.bus.repair(in.ctx, in.c, q)
		in.do(func() { in.answered(t, q, a) })
	})
}

// answered takes what asking has brought.
func (in *inbox) answered(t *track, q *question, a *answer) {
	if in.tracks[t.publisher] != t {
		return // it has restarted meanwhile
	}
	began := t.begin && a.begin > 0
	if began {
		in.deliver(t.startAt(a.begin))
	}
	repaired := 0
	for _, f := range a.frames {
		repaired += len(f.messages)
		in.offer(t, f)
	}
	in.c.space.counts.repaired.Add(int64(repaired))
	in.c.space.meter("repaired", repaired)
	// What came by itself meanwhile is progress too; and the answer says nothing of what was not asked for.
	progress := t.next > q.from || began
	giveUp := t.again(time.Now(), progress)
	if giveUp || a.complete && !progress && !t.begin {
		in.giveUp(t)
	}
	in.watch(t)
}
