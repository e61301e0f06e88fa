package gossip

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/debros/debros/structs"
	"github.com/hashicorp/serf/serf"
)

// Two nodes that claim one name or one id.
//
//	same name, same id, new address    the node moved. memberlist takes the new address once the old
//	                                   one is dead or left; if both answer, it is a clone: conflict.
//	same name, another id              refused while the holder lives elsewhere: conflict. Taken when
//	                                   the holder failed or left, or had this very address (the
//	                                   machine was set up anew).
//	another name, same id              refused while the holder lives elsewhere: conflict, a clone of
//	                                   a data directory. Taken otherwise: the node was renamed.
//
// A record that contradicts the roster is only a suspicion: it may be a stale one of a node that has
// just restarted. A conflict is reported after both nodes answered a ping by name. Who reports: the
// newcomer, from what it is told as it joins; the older node, if the newcomer reaches it; and any
// third node that hears of both. serf's own way, a vote that shuts one of the two down, is off.
//
// Not detected: a clone behind the same public address and port as the original (only one of the
// two is reachable then). Wrongly detected: nothing that we know of; a node reachable under its old
// and its new address is recognised by its interfaces.

const (
	suspectCap       = 64              // suspicions waiting for their pings; more are dropped, gossip repeats them
	selfSuspectsMax  = 8               // nodes that claim to be this one; the first few say enough
	suspectInterval  = 2 * time.Second // a pair that did not answer is pinged again after this
	conflictInterval = time.Minute     // a conflict that lasts is reported this often
	pingAttempts     = 3               // UDP loses packets
)

// suspicion is two records that cannot both be of living nodes.
type suspicion struct {
	known, other structs.Member
	self         bool // known is this node
	newcomer     bool // and it is joining
}

func (s suspicion) key() string {
	return fmt.Sprintf("%s %s:%d|%s %s:%d", s.known.Name, s.known.Addr, s.known.Port, s.other.Name, s.other.Addr, s.other.Port)
}

func (s suspicion) reason() string {
	if s.known.ID == s.other.ID {
		return fmt.Sprintf("nodes %s at %s:%d and %s at %s:%d have the same id %s: one data directory is a clone of the other",
			s.known.Name, s.known.Addr, s.known.Port, s.other.Name, s.other.Addr, s.other.Port, s.known.ID)
	}
	return fmt.Sprintf("nodes %s at %s:%d and %s at %s:%d have the same name %s",
		s.known.ID, s.known.Addr, s.known.Port, s.other.ID, s.other.Addr, s.other.Port, s.known.Name)
}

// selfSuspects are the nodes that contradict this one.
type selfSuspects struct {
	mu   sync.Mutex  // protects the following
	list []suspicion // that Join has yet to ping
	// newcomer remembers the pairs that were found by joining, for a ping may get through only later
	newcomer map[string]bool
}

// add notes a suspicion; it returns it, marked as the newcomer's if the pair ever was.
func (l *selfSuspects) add(s suspicion) suspicion {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := s.key()
	if l.newcomer[key] {
		s.newcomer = true
	} else if s.newcomer && len(l.newcomer) < selfSuspectsMax {
		if l.newcomer == nil {
			l.newcomer = map[string]bool{}
		}
		l.newcomer[key] = true
	}
	for _, e := range l.list {
		if e.key() == key {
			return s
		}
	}
	if len(l.list) < selfSuspectsMax {
		l.list = append(l.list, s)
	}
	return s
}

func (l *selfSuspects) take() []suspicion {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return list
}

// gate is serf's merge delegate: memberlist asks it about every record that says "alive" and, when
// two pools meet, about all of the other's records at once.
type gate struct{ g *Gossip }

// NotifyMerge implements serf.MergeDelegate. It is called with memberlist's lock held: it looks at
// the roster, leaves a note and returns. An error refuses the record, or the whole merge.
func (d gate) NotifyMerge(members []*serf.Member) error {
	refuse := false // only ever set for a single record
	for _, sm := range members {
		if sm.Status == serf.StatusLeft || !isDebros(*sm) {
			continue
		}
		m, err := parseMember(*sm)
		if err != nil {
			continue
		}
		if m.Datacenter != d.g.cfg.Datacenter {
			d.g.count(&d.g.wrongDC, "wrong_datacenter")
			return fmt.Errorf("node %s is in datacenter %s, this one in %s", m.Name, m.Datacenter, d.g.cfg.Datacenter)
		}
		// In a merge the records come one by one afterwards; refusing all for one would keep a healthy
		// node out because of another's stale record.
		refuse = d.g.inspect(m) && len(members) == 1
		if !refuse && len(members) == 1 {
			// The pump will note it too, but a clone may ask before that.
			d.g.roster.claim(m)
		}
	}
	if refuse {
		return fmt.Errorf("node %s has the name or id of another live node", members[0].Name)
	}
	return nil
}

// inspect compares a record with the roster and with this node, leaves its suspicions to the
// verifier, and says whether the record contradicts a living node in a way that memberlist
// would not notice. It never blocks.
func (g *Gossip) inspect(m structs.Member) (refuse bool) {
	self := g.self.Load()
	if self == nil {
		return false // our own first record
	}
	if m.Name == self.Name || m.ID == self.ID {
		if samePlace(*self, m) {
			return false // our own record, perhaps of an earlier name or id
		}
		s := suspicion{known: *self, other: m, self: true, newcomer: g.joining.Load() > 0 && !g.established.Load()}
		g.suspect(g.selfSuspects.add(s))
		return m.Name != self.Name
	}
	for _, e := range g.roster.alive(m) {
		g.suspect(suspicion{known: e, other: m})
		if e.ID != m.ID || e.Name != m.Name {
			refuse = true
		}
	}
	return refuse
}

func (g *Gossip) suspect(s suspicion) {
	select {
	case g.suspectCh <- s:
	default: // full: gossip repeats what is still true
	}
}

// verify pings the nodes of each suspicion and reports those that are conflicts.
func (g *Gossip) verify() {
	next := map[string]time.Time{} // when a pair may be looked at again
	for {
		select {
		case s := <-g.suspectCh:
			now := time.Now()
			key := s.key()
			if now.Before(next[key]) {
				continue
			}
			for k, t := range next {
				if now.After(t) {
					delete(next, k)
				}
			}
			if !g.confirm(s) {
				next[key] = time.Now().Add(suspectInterval)
				continue
			}
			next[key] = time.Now().Add(conflictInterval)
			g.report(s)
		case <-g.done:
			return
		}
	}
}

func (g *Gossip) report(s suspicion) {
	g.count(&g.conflicts, "conflicts")
	g.log.Error("conflict between two live nodes", "reason", s.reason(), "newcomer", s.newcomer)
	e := Event{
		Kind: EventConflict, Members: []structs.Member{s.known, s.other},
		Reason: s.reason(), Self: s.self, Newcomer: s.newcomer,
	}
	select {
	case g.conflictCh <- e:
	case <-g.done:
	}
}

// confirm says whether both nodes live.
func (g *Gossip) confirm(s suspicion) bool {
	if s.self {
		return !g.isOwnAddress(s.other) && g.answers(s.other)
	}
	return g.answers(s.known) && g.answers(s.other)
}

// answers pings a node by name: a node of another name at the address does not answer.
func (g *Gossip) answers(m structs.Member) bool {
	addr := &net.UDPAddr{IP: net.ParseIP(m.Addr), Port: m.Port}
	for range pingAttempts {
		if _, err := g.serf.Memberlist().Ping(m.Name, addr); err == nil {
			return true
		}
		select {
		case <-g.done:
			return false
		default:
		}
	}
	return false
}

// isOwnAddress says whether a packet to m's address comes back to this process: a node that listens
// on every interface and changed the one it advertises still answers on the old one.
func (g *Gossip) isOwnAddress(m structs.Member) bool {
	bind := net.ParseIP(or(g.cfg.BindAddr, "0.0.0.0"))
	if bind == nil || !bind.IsUnspecified() || m.Port != g.bindPort {
		return false
	}
	ip := net.ParseIP(m.Addr)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}
