package gossip

import (
	"github.com/debros/debros/structs"
	"github.com/hashicorp/serf/serf"
)

// EventKind is what happened.
type EventKind string

// The events. Members are those concerned; they are debros nodes only.
const (
	EventJoin   EventKind = "join" // also a node that came back
	EventLeave  EventKind = "leave"
	EventFailed EventKind = "failed"
	EventUpdate EventKind = "update" // tags changed
	EventReap   EventKind = "reap"   // forgotten
	EventUser   EventKind = "user"   // Name, Payload and LTime
	// EventResync stands for membership events that were not delivered, and carries no members:
	// read Members again.
	EventResync EventKind = "resync"
	// EventConflict: two live nodes claim one name or one id; Members are the two, Reason says it for
	// people. See conflict.go.
	EventConflict EventKind = "conflict"
)

// Event is one thing that happened in the pool.
type Event struct {
	Kind    EventKind
	Members []structs.Member

	Name    string // of a user event
	Payload []byte
	LTime   uint64

	Reason string // of a conflict
	// Self: this node is one of the two in conflict, Members[0].
	Self bool
	// Newcomer: this node found the other one while it joined, so it is the one that should stop.
	// The older of the two gets the same event without it.
	Newcomer bool
}

const (
	// eventsMax is how many undelivered events wait. The rule for "full": membership events are
	// replaced by one EventResync, since their reader looks at Members anyway; user events are dropped
	// and counted; conflicts still get in, up to conflictsMax.
	eventsMax    = 1024
	conflictsMax = 16
	// serfChCap only smooths: the pump always reads.
	serfChCap = 256
)

// queue holds undelivered events, oldest first. One goroutine, the pump, owns it.
type queue struct {
	pending []Event
	max     int
	resync  bool // membership events were left out and no EventResync is in pending for them
	dropped func()
}

func (q *queue) add(e Event) {
	full := len(q.pending) >= q.max
	switch e.Kind {
	case EventUser:
		if full {
			q.dropped()
			return
		}
	case EventConflict:
		if len(q.pending) >= q.max+conflictsMax {
			return // it is raised again while it lasts
		}
	default:
		if full {
			q.resync = true
			return
		}
	}
	q.pending = append(q.pending, e)
}

func (q *queue) pop() {
	q.pending[0] = Event{} // free what it points to
	q.pending = q.pending[1:]
	if q.resync && len(q.pending) < q.max {
		q.resync = false
		q.pending = append(q.pending, Event{Kind: EventResync})
	}
}

// pump moves events from serf to Events. It never waits for the reader, so serf, which sends with
// its member lock held, never waits either.
func (g *Gossip) pump() {
	defer close(g.events)
	q := &queue{max: eventsMax, dropped: func() { g.count(&g.userDropped, "user_events_dropped") }}
	for {
		var out chan Event
		var head Event
		if len(q.pending) > 0 {
			out, head = g.events, q.pending[0]
		}
		select {
		case e := <-g.serfCh:
			if e, ok := g.translate(e); ok {
				q.add(e)
			}
			select {
			case g.saveCh <- struct{}{}:
			default:
			}
		case e := <-g.conflictCh:
			q.add(e)
		case out <- head:
			q.pop()
		case <-g.done:
			return
		}
	}
}

var memberKinds = map[serf.EventType]EventKind{
	serf.EventMemberJoin: EventJoin, serf.EventMemberLeave: EventLeave, serf.EventMemberFailed: EventFailed,
	serf.EventMemberUpdate: EventUpdate, serf.EventMemberReap: EventReap,
}

// translate turns serf's event into ours and notes it in the roster; false when it concerns no debros node.
func (g *Gossip) translate(e serf.Event) (Event, bool) {
	switch e := e.(type) {
	case serf.UserEvent:
		return Event{Kind: EventUser, Name: e.Name, Payload: e.Payload, LTime: uint64(e.LTime)}, true
	case serf.MemberEvent:
		out := Event{Kind: memberKinds[e.Type]}
		for _, m := range e.Members {
			parsed, ok := g.member(m, e.Type == serf.EventMemberJoin)
			if !ok {
				if g.roster.forget(m.Name) { // it was one of ours and no longer says so
					out.Kind = EventResync
				}
				continue
			}
			g.note(out.Kind, parsed)
			out.Members = append(out.Members, parsed)
		}
		if out.Kind == EventResync {
			out.Members = nil
			return out, true
		}
		return out, len(out.Members) > 0
	case *serf.Query:
		g.announce(e)
	}
	return Event{}, false
}

// note keeps the roster in step with an event.
func (g *Gossip) note(kind EventKind, m structs.Member) {
	switch kind {
	case EventJoin, EventUpdate:
		g.inspect(m)
		m.Status = structs.MemberAlive
		g.roster.put(m)
	case EventReap:
		g.roster.forget(m.Name)
	case EventLeave:
		m.Status = structs.MemberLeft
		g.roster.put(m)
	case EventFailed:
		m.Status = structs.MemberFailed
		g.roster.put(m)
	}
}
