package rpc

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
	"github.com/hashicorp/go-memdb"
)

func (s *service) sessionMethods() []transport.Method {
	return []transport.Method{
		write(s, "Session.Apply", s.sessionApply),
		write(s, "Session.Renew", s.sessionRenew),
		read(s, "Session.Get", s.sessionGet),
		read(s, "Session.Node", s.sessionNode),
		read(s, "Session.List", s.sessionList),
	}
}

func (s *service) sessionApply(ctx context.Context, c call, req *structs.SessionRequest, rep *structs.SessionReply) error {
	out := &structs.SessionRequest{WriteOptions: logged(c), Op: req.Op, Why: "api"}
	var err error
	switch req.Op {
	case structs.SessionCreate:
		if out.Session, err = newSession(c, req.Session); err == nil {
			err = s.ownsName(req)
		}
	case structs.SessionDestroy:
		out.Session, err = s.endingSession(c, req.Session.ID)
	default:
		err = structs.Errorf(structs.KindInvalid, "unknown session operation %q", clip(string(req.Op)))
	}
	if err != nil {
		return err
	}
	r, index, err := propose[structs.SessionReply](ctx, s, structs.CommandSession, out)
	if err != nil {
		return err
	}
	*rep = *r
	rep.ID, rep.Index = out.Session.ID, index
	return nil
}

// ownsName refuses a session of an agent whose name is another node's: it would end with that one, and live on without its own.
func (s *service) ownsName(req *structs.SessionRequest) error {
	_, row := s.b.State().NodeGet(nil, req.Session.Node)
	if req.NodeID == "" || row == nil || row.ID == req.NodeID {
		return nil
	}
	return structs.Errorf(structs.KindConflict, "the node name %q is that of another node, %s: a session would hang on that one", row.Name, row.ID).
		WithHint("give this agent a node_name of its own; after a change of its node.key the name is its own again in a few seconds")
}

// newSession is the session as the caller wants it, checked, under an id of our choosing: the id
// is in the command, so that it is the same on every replica.
func newSession(c call, want structs.Session) (structs.Session, error) {
	none := structs.Session{}
	if want.Node == "" {
		return none, structs.Errorf(structs.KindInvalid, "missing node name")
	}
	if err := checkName("node name", want.Node); err != nil {
		return none, err
	}
	if !c.may.SessionWrite(c.ns, want.Node) {
		return none, denied("session:write", want.Node)
	}
	if err := checkName("session name", want.Name); err != nil {
		return none, err
	}
	ttl, err := checkSessionTTL(want.TTL)
	if err != nil {
		return none, err
	}
	if want.LockDelay < 0 || want.LockDelay > structs.LockDelayMax {
		return none, structs.Errorf(structs.KindInvalid, "invalid lock-delay %s: it must be between 0 and %s", want.LockDelay, structs.LockDelayMax)
	}
	switch want.Behavior {
	case "":
		want.Behavior = structs.SessionRelease
	case structs.SessionRelease, structs.SessionDelete:
	default:
		return none, structs.Errorf(structs.KindInvalid, "invalid session behavior %q", clip(string(want.Behavior))).
			WithHint("use %q or %q", structs.SessionRelease, structs.SessionDelete)
	}
	for _, check := range want.NodeChecks {
		if check != structs.NodeHealthCheck {
			return none, structs.Errorf(structs.KindInvalid, "unknown check %q: a session hangs on %s only", clip(check), structs.NodeHealthCheck)
		}
	}
	checks := []string{structs.NodeHealthCheck}
	if want.NodeChecks != nil && len(want.NodeChecks) == 0 { // asked for none, rather than not asked
		checks = []string{}
	}
	return structs.Session{
		ID: NewUUID(), Name: want.Name, Node: want.Node, LockDelay: want.LockDelay, Behavior: want.Behavior,
		TTL: ttl, NodeChecks: checks, Namespace: c.ns,
	}, nil
}

// checkSessionTTL returns the TTL to store: as the caller wrote it, "" for none.
func checkSessionTTL(ttl string) (string, error) {
	if ttl == "" {
		return "", nil
	}
	d, err := time.ParseDuration(ttl)
	if err != nil {
		return "", structs.Errorf(structs.KindInvalid, "invalid session TTL %q", clip(ttl)).WithHint("use a duration such as 15s or 10m")
	}
	if d == 0 {
		return "", nil
	}
	if d < structs.SessionTTLMin || d > structs.SessionTTLMax {
		return "", structs.Errorf(structs.KindInvalid, "invalid session TTL %s: it must be between %s and %s", d, structs.SessionTTLMin, structs.SessionTTLMax)
	}
	return ttl, nil
}

// endingSession names the session to destroy. One that is not there may be destroyed too (Consul
// answers true), by whoever may write sessions of no node in particular.
func (s *service) endingSession(c call, id string) (structs.Session, error) {
	if err := checkID("session", id); err != nil {
		return structs.Session{}, err
	}
	node := ""
	if _, have := s.b.State().SessionGet(nil, c.ns, id); have != nil {
		node = have.Node
	}
	if !c.may.SessionWrite(c.ns, node) {
		return structs.Session{}, denied("session:write", node)
	}
	return structs.Session{ID: id, Namespace: c.ns}, nil
}

// sessionRenew restarts the TTL on the leader. It proves leadership first, as a linearizable read
// does: a deposed leader that renewed would promise time that the new leader, which runs the timers
// now, knows nothing of.
func (s *service) sessionRenew(ctx context.Context, c call, req *structs.SessionRenewRequest, rep *structs.SessionListReply) error {
	if err := checkID("session", req.ID); err != nil {
		return err
	}
	if err := s.b.ReadReady(ctx, &structs.QueryOptions{Namespace: c.ns}); err != nil {
		return err
	}
	idx, have := s.b.State().SessionGet(nil, c.ns, req.ID)
	if have == nil {
		return structs.Errorf(structs.KindNotFound, "Session id '%s' not found", clip(req.ID)).
			WithHint("it expired or was destroyed: create another")
	}
	if !c.may.SessionWrite(c.ns, have.Node) {
		return denied("session:write", have.Node)
	}
	if err := s.b.RenewSession(ctx, have); err != nil {
		return err
	}
	rep.Sessions, rep.Index = []*structs.Session{have}, idx
	s.stamp(&rep.QueryMeta)
	return nil
}

func (s *service) sessionGet(ctx context.Context, c call, req *structs.SessionGetRequest, rep *structs.SessionListReply) error {
	if err := checkID("session", req.ID); err != nil {
		return err
	}
	return s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		rep.Sessions = nil
		idx, have := s.b.State().SessionGet(ws, c.ns, req.ID)
		if have != nil && c.may.SessionRead(c.ns, have.Node) {
			rep.Sessions = []*structs.Session{have}
		}
		return idx, len(rep.Sessions) > 0
	})
}

func (s *service) sessionNode(ctx context.Context, c call, req *structs.SessionGetRequest, rep *structs.SessionListReply) error {
	if err := checkName("node name", req.Node); err != nil {
		return err
	}
	if !c.may.SessionRead(c.ns, req.Node) {
		return denied("session:read", req.Node)
	}
	return s.listSessions(ctx, c, &req.QueryOptions, rep, func(ws memdb.WatchSet) (uint64, []*structs.Session) {
		return s.b.State().SessionsOfNode(ws, c.ns, req.Node)
	})
}

func (s *service) sessionList(ctx context.Context, c call, req *structs.SessionListRequest, rep *structs.SessionListReply) error {
	return s.listSessions(ctx, c, &req.QueryOptions, rep, func(ws memdb.WatchSet) (uint64, []*structs.Session) {
		return s.b.State().SessionList(ws, c.ns)
	})
}

func (s *service) listSessions(ctx context.Context, c call, o *structs.QueryOptions, rep *structs.SessionListReply, get func(memdb.WatchSet) (uint64, []*structs.Session)) error {
	after, err := decodeToken(o.NextToken, "")
	if err != nil {
		return err
	}
	id := func(x *structs.Session) string { return x.ID }
	return s.query(ctx, o, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		idx, all := get(ws)
		idx, rep.Sessions, rep.NextToken = pager[*structs.Session]{
			fetch: fetchSlice(idx, all, id), key: id,
			see: func(x *structs.Session) bool { return c.may.SessionRead(c.ns, x.Node) },
		}.page(perPage(o), after)
		return idx, len(rep.Sessions) > 0
	})
}

// NewUUID is a random UUID, version 4 (RFC 9562).
func NewUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program rather than give bad bytes
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
