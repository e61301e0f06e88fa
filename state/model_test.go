package state

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/debros/debros/structs"
)

// model is the store as one would write it without a thought for speed: maps, copies, and the whole
// history of changes. It says nothing about watches.
type model struct {
	index  uint64
	now    int64
	spaces map[structs.Namespace]*modelSpace
	nodes  map[string]structs.Node // by lower-case name
}

type modelSpace struct {
	kv       map[string]structs.KVPair
	sessions map[string]structs.Session
	delays   map[string]int64
	changed  map[string]uint64 // index of the last change of each key there ever was
}

func newModel() *model {
	return &model{
		spaces: map[structs.Namespace]*modelSpace{ns: newModelSpace()},
		nodes:  map[string]structs.Node{},
	}
}

func newModelSpace() *modelSpace {
	return &modelSpace{
		kv: map[string]structs.KVPair{}, sessions: map[string]structs.Session{},
		delays: map[string]int64{}, changed: map[string]uint64{},
	}
}

func (m *model) clone() *model {
	c := *m
	c.nodes = maps.Clone(m.nodes)
	c.spaces = map[structs.Namespace]*modelSpace{}
	for name, s := range m.spaces {
		c.spaces[name] = &modelSpace{maps.Clone(s.kv), maps.Clone(s.sessions), maps.Clone(s.delays), maps.Clone(s.changed)}
	}
	return &c
}

func (m *model) begin(index uint64, now int64) {
	m.index, m.now = index, max(m.now, now)
}

// put is a write of a whole row; keeping ModifyIndex when nothing changed.
func (m *model) put(s *modelSpace, p structs.KVPair) structs.KVPair {
	old, exists := s.kv[p.Key]
	p.CreateIndex, p.ModifyIndex = m.index, m.index
	if exists {
		p.CreateIndex = old.CreateIndex
		same := p
		same.ModifyIndex = old.ModifyIndex
		if string(same.Value) == string(old.Value) && same.Flags == old.Flags && same.LockIndex == old.LockIndex &&
			same.Session == old.Session && same.FencingToken == old.FencingToken && same.ExpiresAt == old.ExpiresAt {
			return old
		}
	}
	s.kv[p.Key] = p
	s.changed[p.Key] = m.index
	return p
}

func (m *model) del(s *modelSpace, key string) {
	if _, ok := s.kv[key]; ok {
		delete(s.kv, key)
		s.changed[key] = m.index
	}
}

// write does one verb: ok says that it held. A session or namespace that does not exist, and a
// missing session, are not ok either.
func (m *model) write(name structs.Namespace, op structs.KVOp, in structs.KVPair, ttl int64) (ok bool, token uint64) {
	s := m.spaces[name]
	if s == nil {
		return false, 0
	}
	old, exists := s.kv[in.Key]
	n := structs.KVPair{Namespace: name, Key: in.Key, Value: in.Value, Flags: in.Flags}
	if ttl > 0 {
		n.ExpiresAt = m.now + ttl
	}
	switch op {
	case structs.KVSet, structs.KVCAS:
		if op == structs.KVCAS && (exists != (in.ModifyIndex != 0) || exists && old.ModifyIndex != in.ModifyIndex) {
			return false, 0
		}
		n.Session, n.FencingToken = old.Session, old.FencingToken
		m.put(s, n)
	case structs.KVLock:
		if _, known := s.sessions[in.Session]; !known {
			return false, 0
		}
		n.Session = in.Session
		if old.Session == in.Session {
			n.LockIndex, n.FencingToken = old.LockIndex, old.FencingToken
		} else {
			if old.Session != "" || s.delays[in.Key] > m.now {
				return false, 0
			}
			n.LockIndex, n.FencingToken = old.LockIndex+1, m.index
		}
		return true, m.put(s, n).FencingToken
	case structs.KVUnlock:
		if in.Session == "" || !exists || old.Session != in.Session {
			return false, 0
		}
		n.LockIndex, n.FencingToken = old.LockIndex, old.FencingToken
		m.put(s, n)
	case structs.KVDelete:
		m.del(s, in.Key)
	case structs.KVDeleteCAS:
		if exists && old.ModifyIndex != in.ModifyIndex {
			return false, 0
		}
		m.del(s, in.Key)
	case structs.KVDeleteTree:
		for _, key := range slices.Collect(maps.Keys(s.kv)) {
			if strings.HasPrefix(key, in.Key) {
				m.del(s, key)
			}
		}
	}
	return true, 0
}

// check is a reading verb's condition.
func (m *model) check(name structs.Namespace, op structs.KVOp, in structs.KVPair) bool {
	s := m.spaces[name]
	if s == nil {
		return false
	}
	row, exists := s.kv[in.Key]
	switch op {
	case structs.KVGet:
		return exists
	case structs.KVCheckIndex:
		return exists && row.ModifyIndex == in.ModifyIndex
	case structs.KVCheckSession:
		return exists && row.Session == in.Session
	case structs.KVCheckNotExists:
		return !exists
	}
	return true
}

// txn returns the numbers of the operations that failed; then nothing changed.
func (m *model) txn(name structs.Namespace, ops []structs.TxnOp) (failed []int) {
	before := m.clone()
	for i, op := range ops {
		ok := false
		if isReadVerb(op.KV.Verb) {
			ok = m.check(name, op.KV.Verb, op.KV.Pair)
		} else {
			ok, _ = m.write(name, op.KV.Verb, op.KV.Pair, op.KV.TTL)
		}
		if !ok {
			failed = append(failed, i)
		}
	}
	if len(failed) > 0 {
		*m = *before
	}
	return failed
}

func (m *model) createSession(name structs.Namespace, s structs.Session) bool {
	space := m.spaces[name]
	if space == nil {
		return false
	}
	switch m.nodes[strings.ToLower(s.Node)].Status {
	case structs.NodeAlive:
	case structs.NodeFailed:
		if len(s.NodeChecks) > 0 {
			return false
		}
	default:
		return false
	}
	if _, exists := space.sessions[s.ID]; exists {
		return false
	}
	s.CreateIndex, s.ModifyIndex, s.Namespace = m.index, m.index, name
	space.sessions[s.ID] = s
	return true
}

func (m *model) destroySession(name structs.Namespace, id string) {
	space := m.spaces[name]
	if space == nil {
		return
	}
	s, exists := space.sessions[id]
	if !exists {
		return
	}
	delete(space.sessions, id)
	for key, row := range maps.Clone(space.kv) {
		if row.Session != id {
			continue
		}
		if s.Behavior == structs.SessionDelete {
			m.del(space, key)
		} else {
			row.Session = ""
			m.put(space, row)
		}
		if d := min(s.LockDelay, time.Minute); d > 0 {
			space.delays[key] = max(space.delays[key], m.now+int64(d))
		}
	}
}

func (m *model) endNode(name string, failed bool) {
	for ns, space := range m.spaces {
		for id, s := range maps.Clone(space.sessions) {
			if strings.EqualFold(s.Node, name) && (!failed || len(s.NodeChecks) > 0) {
				m.destroySession(ns, id)
			}
		}
	}
}

func (m *model) node(r *structs.NodeRequest) {
	key := strings.ToLower(r.Node.Name)
	if r.Op == structs.NodeMeta {
		if row, ok := m.nodes[key]; ok && row.ID == r.Node.ID {
			row.Meta = r.Node.Meta
			m.nodes[key] = row
		}
		return
	}
	for name, old := range maps.Clone(m.nodes) {
		sameName := strings.EqualFold(old.Name, r.Node.Name)
		if r.Op == structs.NodeDelete && old.ID == r.Node.ID || r.Op == structs.NodeUpsert && (old.ID == r.Node.ID) != sameName {
			m.endNode(old.Name, false)
			delete(m.nodes, name)
		}
	}
	if r.Op == structs.NodeDelete {
		return
	}
	if r.Node.Status != structs.NodeAlive {
		m.endNode(r.Node.Name, r.Node.Status == structs.NodeFailed)
	}
	n := r.Node
	if n.Meta == nil {
		n.Meta = m.nodes[key].Meta
	}
	m.nodes[key] = n
}

func (m *model) expire(limit int) int {
	n := 0
	for ; n < limit; n++ {
		var first *structs.KVPair
		for _, space := range m.spaces {
			for _, row := range space.kv {
				if row.ExpiresAt == 0 || row.ExpiresAt > m.now {
					continue
				}
				id, best := string(kvID(&row)), ""
				if first != nil {
					best = string(kvID(first))
				}
				if first == nil || row.ExpiresAt < first.ExpiresAt || row.ExpiresAt == first.ExpiresAt && id < best {
					first = &row
				}
			}
		}
		if first == nil {
			break
		}
		m.del(m.spaces[first.Namespace], first.Key)
	}
	return n
}

func (m *model) namespace(op structs.NamespaceOp, name structs.Namespace) bool {
	_, exists := m.spaces[name]
	switch {
	case op == structs.NamespaceDelete:
		if name == ns || !exists {
			return false
		}
		delete(m.spaces, name)
	case !exists:
		m.spaces[name] = newModelSpace()
	default:
		return op == structs.NamespaceUpsert
	}
	return true
}

// prefixChanged is the exact index of the last change below a prefix.
func (s *modelSpace) prefixChanged(prefix string) (newest uint64) {
	for key, index := range s.changed {
		if strings.HasPrefix(key, prefix) {
			newest = max(newest, index)
		}
	}
	return newest
}

// sorted returns the rows under a prefix in key order.
func (s *modelSpace) sorted(prefix string) (list []structs.KVPair) {
	for _, key := range slices.Sorted(maps.Keys(s.kv)) {
		if strings.HasPrefix(key, prefix) {
			list = append(list, s.kv[key])
		}
	}
	return list
}
