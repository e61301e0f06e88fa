package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// What happens to the keys that a session holds when it ends.
const (
	SessionRelease = "release" // they are unlocked; the default
	SessionDelete  = "delete"  // they are deleted
)

// SessionEntry is a session: a lease that locks hang on.
type SessionEntry struct {
	ID          string
	Name        string
	Node        string        // the session ends when this node fails; "" in Create = the agent's
	LockDelay   time.Duration // how long its keys stay locked after it was invalidated; 0 in Create = 15 s
	Behavior    string        // SessionRelease or SessionDelete
	TTL         string        // a duration from "10s" to "24h"; "" = lives until destroyed or its node fails
	NodeChecks  []string
	Namespace   string `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
}

// Session makes and ends sessions.
type Session struct{ c *Client }

// NoLockDelay in SessionEntry.LockDelay asks Create for a session without one.
const NoLockDelay time.Duration = -1

// Create makes a session of the entry's Name, Node, LockDelay, Behavior and TTL, and returns its id.
// nil makes one with every default.
func (s *Session) Create(ctx context.Context, e *SessionEntry, o *WriteOptions) (id string, m *WriteMeta, err error) {
	body := map[string]any{}
	if e != nil {
		for name, v := range map[string]string{"Name": e.Name, "Node": e.Node, "Behavior": e.Behavior, "TTL": e.TTL} {
			if v != "" {
				body[name] = v
			}
		}
		switch {
		case e.LockDelay == NoLockDelay:
			body["LockDelay"] = "0s"
		case e.LockDelay != 0:
			body["LockDelay"] = e.LockDelay.String()
		}
	}
	r := s.c.newRequest(http.MethodPut, "/v1/session/create")
	if err := r.json(body); err != nil {
		return "", nil, err
	}
	var out struct{ ID string }
	m, err = s.c.put(ctx, r, o, &out)
	return out.ID, m, err
}

// Destroy ends a session and lets go of its keys; that it does not exist is no error.
func (s *Session) Destroy(ctx context.Context, id string, o *WriteOptions) (*WriteMeta, error) {
	return s.c.put(ctx, s.c.newRequest(http.MethodPut, "/v1/session/destroy/"+url.PathEscape(id)), o, nil)
}

// Renew restarts the session's TTL. The entry is nil when the session has ended.
func (s *Session) Renew(ctx context.Context, id string, o *WriteOptions) (*SessionEntry, *WriteMeta, error) {
	r := s.c.newRequest(http.MethodPut, "/v1/session/renew/"+url.PathEscape(id))
	r.write(o)
	r.repeatable = true // twice is as good as once
	start := time.Now()
	reply, err := s.c.send(ctx, r, http.StatusNotFound)
	if err != nil {
		return nil, nil, err
	}
	defer reply.Body.Close()
	m := &WriteMeta{Index: replyIndex(reply.Header), RequestTime: time.Since(start)}
	if reply.StatusCode == http.StatusNotFound {
		return nil, m, nil
	}
	var out []*SessionEntry
	if err := s.c.decode(reply, &out, KindUnknownResult); err != nil || len(out) == 0 {
		return nil, m, err
	}
	return out[0], m, nil
}

// RenewPeriodic renews the session at a third of its TTL until ctx ends, and then returns nil
// without destroying it. It returns ErrNotFound as soon as the session is known to have ended, or
// when it may have: a TTL has passed since the last successful renewal began.
func (s *Session) RenewPeriodic(ctx context.Context, id string, ttl time.Duration, o *WriteOptions) error {
	if ttl <= 0 {
		return errorf(KindInvalid, "renew session %q: a TTL is needed", id)
	}
	l := newLease(ttl)
	for {
		if err := sleep(ctx, ttl/3); err != nil {
			return nil
		}
		began := now()
		attempt, cancel := context.WithTimeout(ctx, max(ttl/3, time.Millisecond))
		e, _, err := s.Renew(attempt, id, o)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && e == nil:
			return errorf(KindNotFound, "session %q has ended", id)
		case err == nil:
			l.renewed(began)
		case l.left() <= 0:
			return &Error{Kind: KindNotFound, Message: "session " + id + " could not be renewed within its TTL: " + err.Error(), cause: err}
		}
	}
}

// Info reads one session; nil when it does not exist.
func (s *Session) Info(ctx context.Context, id string, o *QueryOptions) (*SessionEntry, *QueryMeta, error) {
	var out []*SessionEntry
	found, m, err := s.c.get(ctx, "/v1/session/info/"+url.PathEscape(id), o, &out)
	if err != nil || !found || len(out) == 0 {
		return nil, m, err
	}
	return out[0], m, nil
}

// List reads all sessions of the namespace.
func (s *Session) List(ctx context.Context, o *QueryOptions) ([]*SessionEntry, *QueryMeta, error) {
	var out []*SessionEntry
	_, m, err := s.c.get(ctx, "/v1/session/list", o, &out)
	return out, m, err
}

// Node reads the sessions of a node.
func (s *Session) Node(ctx context.Context, node string, o *QueryOptions) ([]*SessionEntry, *QueryMeta, error) {
	var out []*SessionEntry
	_, m, err := s.c.get(ctx, "/v1/session/node/"+url.PathEscape(node), o, &out)
	return out, m, err
}
