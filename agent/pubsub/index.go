package pubsub

import (
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/structs"
)

// index finds those of a carrier who get a message. It belongs to the carrier's goroutine.
type index struct {
	exact  map[string][]*member // by topic
	wild   []*member            // with a * or > in a pattern
	groups map[groupKey]*group
	all    map[*Subscription]*member
}

// member is a subscription in one carrier.
type member struct {
	sub      *Subscription
	patterns []string // those with * or >
	last     *message // what it got last: a message that two patterns name comes once
}

// groupKey names a group: subscriptions of one name and pattern.
type groupKey struct{ pattern, name string }

// group is this agent's members of one, who take turns.
type group struct {
	members []*Subscription
	turn    int
}

func newIndex() *index {
	return &index{exact: map[string][]*member{}, groups: map[groupKey]*group{}, all: map[*Subscription]*member{}}
}

// matches is structs.TopicMatches, where a wildcard at the beginning does not name topics that begin with _: they are not for everybody.
func matches(pattern, topic string) bool {
	return (topic[0] != '_' || pattern[0] != '*' && pattern[0] != '>') && structs.TopicMatches(pattern, topic)
}

func isLiteral(pattern string) bool { return !strings.ContainsAny(pattern, "*>") }

// add has a subscription get what these patterns name.
func (x *index) add(s *Subscription, patterns []string) {
	m := &member{sub: s}
	x.all[s] = m
	for _, p := range patterns {
		switch {
		case s.opts.Group != "":
			k := groupKey{p, s.opts.Group}
			if x.groups[k] == nil {
				x.groups[k] = &group{}
			}
			x.groups[k].members = append(x.groups[k].members, s)
		case isLiteral(p):
			x.exact[p] = append(x.exact[p], m)
		default:
			m.patterns = append(m.patterns, p)
		}
	}
	if len(m.patterns) > 0 {
		x.wild = append(x.wild, m)
	}
}

func (x *index) remove(s *Subscription, patterns []string) {
	m := x.all[s]
	if m == nil {
		return
	}
	delete(x.all, s)
	for _, p := range patterns {
		if k := (groupKey{p, s.opts.Group}); x.groups[k] != nil {
			g := x.groups[k]
			if g.members = slices.DeleteFunc(g.members, func(o *Subscription) bool { return o == s }); len(g.members) == 0 {
				delete(x.groups, k)
			}
		}
		if list := slices.DeleteFunc(x.exact[p], func(o *member) bool { return o == m }); len(list) > 0 {
			x.exact[p] = list
		} else {
			delete(x.exact, p)
		}
	}
	x.wild = slices.DeleteFunc(x.wild, func(o *member) bool { return o == m })
}

// deliver gives a message to everybody here who gets it, and says to how many.
func (x *index) deliver(m *message, self peer.ID) (n int) {
	it := structs.MessageItem{Message: &m.Message}
	give := func(o *member) {
		if o.last != m {
			o.last = m
			o.sub.put(it)
			n++
		}
	}
	for _, o := range x.exact[m.Topic] {
		give(o)
	}
	for _, o := range x.wild {
		for _, p := range o.patterns {
			if matches(p, m.Topic) {
				give(o)
				break
			}
		}
	}
	for _, c := range m.groups {
		if g := x.groups[c.group]; c.agent == self && g != nil {
			g.turn++
			g.members[g.turn%len(g.members)].put(it)
			n++
		}
	}
	return n
}

// tell gives everybody an item that is no message.
func (x *index) tell(it structs.MessageItem) {
	for s := range x.all {
		s.put(it)
	}
}
