package gossip

import (
	"sync"

	"github.com/debros/debros/structs"
)

// roster is what the pump last heard of each other debros node, for the callbacks of memberlist,
// which must not ask serf while memberlist holds its lock.
type roster struct {
	mu     sync.Mutex // protects the following
	byName map[string]structs.Member
	// aliveID is the name of the living node with this id
	aliveID map[structs.NodeID]string
}

func newRoster() *roster {
	return &roster{byName: map[string]structs.Member{}, aliveID: map[structs.NodeID]string{}}
}

func (r *roster) put(m structs.Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.putLocked(m)
}

func (r *roster) putLocked(m structs.Member) {
	r.forgetLocked(m.Name)
	r.byName[m.Name] = m
	if m.Status == structs.MemberAlive {
		r.aliveID[m.ID] = m.Name
	}
}

// claim notes a node that memberlist is about to take in, if it is a new one.
func (r *roster) claim(m structs.Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.byName[m.Name]; !known {
		m.Status = structs.MemberAlive
		r.putLocked(m)
	}
}

// forget removes a node and says whether it was there.
func (r *roster) forget(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.forgetLocked(name)
}

func (r *roster) forgetLocked(name string) bool {
	old, ok := r.byName[name]
	if ok && r.aliveID[old.ID] == name {
		delete(r.aliveID, old.ID)
	}
	delete(r.byName, name)
	return ok
}

// alive finds the living nodes that have the name or the id of m at another place than m's.
func (r *roster) alive(m structs.Member) []structs.Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []structs.Member
	if e, ok := r.byName[m.Name]; ok && e.Status == structs.MemberAlive && !samePlace(e, m) {
		out = append(out, e)
	}
	if name, ok := r.aliveID[m.ID]; ok && name != m.Name && !samePlace(r.byName[name], m) {
		out = append(out, r.byName[name])
	}
	return out
}

func samePlace(a, b structs.Member) bool { return a.Addr == b.Addr && a.Port == b.Port }
