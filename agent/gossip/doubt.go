package gossip

import (
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/hashicorp/serf/serf"
)

// A living node that is taken for one that leaves.
//
// That a node leaves is an intent, spread like a rumour and dated by a Lamport clock: its own, or
// that of a node which removes it as failed. serf lets a node that hears of its own departure deny
// it. Where it came back meanwhile, three things keep the denial from those who believe it:
//
//   - it did not hear the intent (its socket was not open), but learns the intent's date from a full
//     exchange, where the date of a member comes without saying of what. It takes the intent for old
//     when it comes at last. serf's rejoin from the snapshot announces nothing either;
//   - the denial has the intent's date, since the clocks of a quiet pool are equal, and the first one
//     heard counts;
//   - a node that has not seen it return passes the intent on in full exchanges, each time dated one
//     later, which is the date of the denial or beyond.
//
// memberlist has the node alive then, so nothing ever changes serf's mind: the member stays "leaving".
// Nobody but the node itself knows whether it leaves, so it is asked: if it does not, it joins whoever
// asks, which moves its clock past the intent, and announces itself with that.

const (
	announceQuery = "debros:announce"
	doubtInterval = time.Second
)

// doubt looks for members that stay "leaving", and asks them.
func (g *Gossip) doubt() {
	tick := time.NewTicker(doubtInterval)
	defer tick.Stop()
	var leaving map[string]int
	for {
		select {
		case <-tick.C:
			leaving = g.askLeaving(leaving)
		case <-g.done:
			return
		}
	}
}

// askLeaving is one look. before and the result say how often in a row each member was seen leaving.
func (g *Gossip) askLeaving(before map[string]int) map[string]int {
	if g.serf.State() != serf.SerfAlive {
		return nil
	}
	var leaving map[string]int
	for _, m := range g.serf.Members() {
		if m.Status != serf.StatusLeaving {
			continue
		}
		if leaving == nil {
			leaving = map[string]int{}
		}
		seen := before[m.Name] + 1
		leaving[m.Name] = seen
		// A departure takes about a second: once is no doubt. Then all who see it would ask in the same
		// second, and a query goes to everybody; so few of a large pool ask, and more if that did not help.
		if seen > 1 && rand.N(g.serf.NumNodes()) < 1<<min(seen, 30) {
			g.ask(m.Name)
		}
	}
	return leaving
}

// ask has a member announce itself unless it leaves. No answer is expected but that.
func (g *Gossip) ask(name string) {
	g.log.Debug("asking a member whether it leaves", "node", name)
	_, err := g.serf.Query(announceQuery, nil, &serf.QueryParam{FilterNodes: []string{name}, Timeout: doubtInterval})
	if err != nil {
		g.log.Debug("member not asked whether it leaves", "node", name, "error", err)
	}
}

// announce answers ask, also our own: what is heard between the opening of the socket and our first
// record makes serf list this very node as leaving. One at a time is enough: who still doubts asks again.
func (g *Gossip) announce(q *serf.Query) {
	if q.Name != announceQuery || !g.announcing.CompareAndSwap(false, true) {
		return
	}
	if !g.spawn(func() {
		defer g.announcing.Store(false)
		for _, m := range g.serf.Members() {
			if m.Name != q.SourceNode() {
				continue
			}
			g.log.Info("others took this node for leaving; it announces itself again", "asked_by", m.Name)
			addr := m.Name + "/" + net.JoinHostPort(m.Addr.String(), fmt.Sprint(m.Port))
			if _, err := g.serf.Join([]string{addr}, false); err != nil { // also: we do leave
				g.log.Debug("not announced", "error", err)
			}
		}
	}) {
		g.announcing.Store(false)
	}
}
