package state

import (
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

func sessionsSchema() *memdb.TableSchema {
	t := table(tableSessions, func(r *structs.Session) []byte {
		if r.Namespace == "" || r.ID == "" {
			return nil
		}
		return sessionKey(r.Namespace, r.ID)
	})
	secondary(t, indexNode, false, func(r *structs.Session) []byte { return nodeSessionsKey(r.Node) })
	return t
}

func sessionKey(ns structs.Namespace, id string) []byte { return joinKey(string(ns), id) }

// nodeSessionsKey is what all sessions of a node begin with in indexNode. go-memdb appends the
// primary key, so that node, NUL, namespace, NUL is what those of one namespace begin with.
func nodeSessionsKey(node string) []byte { return joinKey(strings.ToLower(node), "") }

func (v view) session(ws memdb.WatchSet, ns structs.Namespace, id string) *structs.Session {
	return first[structs.Session](ws, v.tx, tableSessions, indexID, sessionKey(ns, id))
}

// Session creates or destroys a session. Destroying one that does not exist succeeds. Errors:
// KindNotFound for an unknown namespace or node, KindConflict for a node that is not alive or an id
// in use, KindInvalid for the rest.
func (t *Txn) Session(r *structs.SessionRequest) (*structs.SessionReply, *structs.Error) {
	if err := t.needNamespace(r.Namespace); err != nil {
		return nil, err
	}
	switch r.Op {
	case structs.SessionCreate:
		if err := t.createSession(r.Namespace, r.Session); err != nil {
			return nil, err
		}
	case structs.SessionDestroy:
		if s := t.view().session(nil, r.Namespace, r.Session.ID); s != nil {
			t.destroySession(s)
		}
	default:
		return nil, structs.Errorf(structs.KindInvalid, "unknown session operation %q", r.Op)
	}
	reply := &structs.SessionReply{ID: r.Session.ID}
	reply.Index = t.index
	return reply, nil
}

// createSession's texts for a missing and a failed node are Consul's, which clients know.
func (t *Txn) createSession(ns structs.Namespace, s structs.Session) *structs.Error {
	if s.ID == "" {
		return structs.Errorf(structs.KindInvalid, "missing session id")
	}
	if s.Behavior == "" {
		s.Behavior = structs.SessionRelease
	}
	if s.Behavior != structs.SessionRelease && s.Behavior != structs.SessionDelete {
		return structs.Errorf(structs.KindInvalid, "invalid session behavior %q", s.Behavior).
			WithHint("use release or delete")
	}
	node := t.view().node(nil, s.Node)
	if node == nil {
		return structs.ErrMissingNode.
			WithHint("no node named %q is known to the cluster yet", s.Node)
	}
	// A session without the check outlives failures, so it may begin during one.
	if node.Status != structs.NodeAlive && (s.EndsWithNode() || node.Status != structs.NodeFailed) {
		return structs.Errorf(structs.KindConflict, "Check 'serfHealth' is in critical state").
			WithHint("node %q is %s", s.Node, node.Status)
	}
	if t.view().session(nil, ns, s.ID) != nil {
		return structs.Errorf(structs.KindConflict, "session %q already exists", s.ID)
	}
	s.Namespace = ns
	s.CreateIndex, s.ModifyIndex = t.index, t.index
	replace(t, tableSessions, nil, &s)
	t.touch(tableSessions, ns)
	return nil
}

// destroySession ends a session: the keys it holds are released or deleted, as it was created to,
// and cannot be acquired for its lock-delay.
func (t *Txn) destroySession(s *structs.Session) {
	replace(t, tableSessions, s, nil)
	t.touch(tableSessions, s.Namespace)
	t.dropPassedLockDelays()
	held := scan[structs.KVPair](nil, t.tx, tableKV, indexSession, kvSessionKey(s.Namespace, s.ID))
	for _, row := range slices.Collect(held) {
		if s.Behavior == structs.SessionDelete {
			t.deleteKV(row)
		} else {
			released := *row
			released.Session = ""
			t.storeKV(row, &released)
		}
		t.delayLock(row.Namespace, row.Key, s.LockDelay)
	}
}

// destroySessionsOf ends the sessions of a node in every namespace. A node that only failed may come
// back, so it keeps those that do not depend on its health.
func (t *Txn) destroySessionsOf(node string, failed bool) {
	for s := range scan[structs.Session](nil, t.tx, tableSessions, indexNode, nodeSessionsKey(node)) {
		if failed && !s.EndsWithNode() {
			continue
		}
		t.destroySession(s)
	}
}

// SessionGet returns a session, nil when it does not exist; the index is its ModifyIndex, or the
// table's when it is missing.
func (s *Store) SessionGet(ws memdb.WatchSet, ns structs.Namespace, id string) (uint64, *structs.Session) {
	v := s.view(ws)
	if row := v.session(ws, ns, id); row != nil {
		return row.ModifyIndex, row
	}
	return v.tableIndex(tableSessions, ns), nil
}

// SessionList returns the sessions of a namespace by id.
func (s *Store) SessionList(ws memdb.WatchSet, ns structs.Namespace) (uint64, []*structs.Session) {
	v := s.view(ws)
	rows := scan[structs.Session](ws, v.tx, tableSessions, indexID, sessionKey(ns, ""))
	return v.tableIndex(tableSessions, ns), slices.Collect(rows)
}

// SessionsOfNode returns the sessions of a namespace that belong to a node.
func (s *Store) SessionsOfNode(ws memdb.WatchSet, ns structs.Namespace, node string) (uint64, []*structs.Session) {
	v := s.view(ws)
	key := append(nodeSessionsKey(node), sessionKey(ns, "")...)
	rows := scan[structs.Session](ws, v.tx, tableSessions, indexNode, key)
	return v.tableIndex(tableSessions, ns), slices.Collect(rows)
}

// SessionsAll returns the sessions of every namespace, for the leader's TTL timers.
func (s *Store) SessionsAll() []*structs.Session {
	return slices.Collect(scan[structs.Session](nil, s.view(nil).tx, tableSessions, indexID, nil))
}
