package rpc

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

func TestSessionLife(t *testing.T) {
	b := newTestBackend(t)
	created := mustAsk[structs.SessionReply](t, b, "Session.Apply", &structs.SessionRequest{
		Op: structs.SessionCreate, Session: structs.Session{ID: "mine", Name: "job", Node: "n1", TTL: "15s", LockDelay: time.Second},
	})
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(created.ID) || created.Index == 0 {
		t.Errorf("created %+v, want a UUID of our choosing", created)
	}
	got := mustAsk[structs.SessionListReply](t, b, "Session.Get", &structs.SessionGetRequest{ID: created.ID}).Sessions
	if len(got) != 1 || got[0].TTL != "15s" || got[0].Behavior != structs.SessionRelease || got[0].Name != "job" ||
		len(got[0].NodeChecks) != 1 || got[0].Namespace != "default" {
		t.Errorf("got %+v", got)
	}
	renewed := mustAsk[structs.SessionListReply](t, b, "Session.Renew", &structs.SessionRenewRequest{ID: created.ID})
	if len(renewed.Sessions) != 1 || len(b.renewed) != 1 || b.renewed[0] != created.ID {
		t.Errorf("renewed %+v, %v", renewed.Sessions, b.renewed)
	}
	for want, checks := range map[int][]string{0: {}, 1: nil} { // asked for none, and not asked
		id := mustAsk[structs.SessionReply](t, b, "Session.Apply", &structs.SessionRequest{
			Op: structs.SessionCreate, Session: structs.Session{Node: "n1", NodeChecks: checks},
		}).ID
		if s := mustAsk[structs.SessionListReply](t, b, "Session.Get", &structs.SessionGetRequest{ID: id}).Sessions[0]; len(s.NodeChecks) != want {
			t.Errorf("%#v made %+v", checks, s)
		}
	}
	for range 2 { // destroying what is gone succeeds too
		mustAsk[structs.SessionReply](t, b, "Session.Apply", &structs.SessionRequest{Op: structs.SessionDestroy, Session: structs.Session{ID: created.ID}})
	}
	if n := len(mustAsk[structs.SessionListReply](t, b, "Session.Get", &structs.SessionGetRequest{ID: created.ID}).Sessions); n != 0 {
		t.Errorf("%d sessions after the destruction", n)
	}
	_, err := ask[structs.SessionListReply](context.Background(), b, "Session.Renew", &structs.SessionRenewRequest{ID: created.ID})
	wantKind(t, err, structs.KindNotFound)
	if len(b.renewed) != 1 {
		t.Error("a destroyed session's timer was restarted")
	}
}

func TestBadSessionsAreRefusedBeforeTheLog(t *testing.T) {
	b := newTestBackend(t)
	for name, s := range map[string]structs.Session{
		"no node":             {},
		"node does not print": {Node: "n\x00"},
		"name too long":       {Node: "n1", Name: strings.Repeat("n", 1000)},
		"ttl too short":       {Node: "n1", TTL: "9.999s"},
		"ttl too long":        {Node: "n1", TTL: "24h1ns"},
		"negative ttl":        {Node: "n1", TTL: "-15s"},
		"ttl without a unit":  {Node: "n1", TTL: "15"},
		"ttl is no duration":  {Node: "n1", TTL: "NaN"},
		"negative lock delay": {Node: "n1", LockDelay: -1},
		"lock delay too long": {Node: "n1", LockDelay: 60*time.Second + 1},
		"unknown behavior":    {Node: "n1", Behavior: "explode"},
		"unknown check":       {Node: "n1", NodeChecks: []string{"serfHealth", "web"}},
	} {
		t.Run(name, func(t *testing.T) {
			b.applied = nil
			_, err := ask[structs.SessionReply](context.Background(), b, "Session.Apply", &structs.SessionRequest{Op: structs.SessionCreate, Session: s})
			if k := structs.KindOf(err); k != structs.KindInvalid && k != structs.KindTooLarge {
				t.Errorf("kind %s: %v", k, err)
			}
			if len(b.applied) != 0 {
				t.Error("it was proposed all the same")
			}
		})
	}
	for name, req := range map[string]*structs.SessionRequest{
		"no operation":       {Session: structs.Session{Node: "n1"}},
		"destroy of nothing": {Op: structs.SessionDestroy},
		"absurd id":          {Op: structs.SessionDestroy, Session: structs.Session{ID: strings.Repeat("x", 65)}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask[structs.SessionReply](context.Background(), b, "Session.Apply", req)
			wantKind(t, err, structs.KindInvalid)
		})
	}
}

func TestBoundsOfSessionsAreInclusive(t *testing.T) {
	b := newTestBackend(t)
	for _, s := range []structs.Session{
		{Node: "n1", TTL: "10s"}, {Node: "n1", TTL: "24h"}, {Node: "n1", TTL: "0s"}, {Node: "n1", LockDelay: structs.LockDelayMax},
		{Node: "n1", Behavior: structs.SessionDelete, NodeChecks: []string{"serfHealth"}},
	} {
		mustAsk[structs.SessionReply](t, b, "Session.Apply", &structs.SessionRequest{Op: structs.SessionCreate, Session: s})
	}
}

// TestSessionOfAnUnknownNodeIsRefused by the store: it would never end.
func TestSessionOfAnUnknownNodeIsRefused(t *testing.T) {
	_, err := ask[structs.SessionReply](context.Background(), newTestBackend(t), "Session.Apply",
		&structs.SessionRequest{Op: structs.SessionCreate, Session: structs.Session{Node: "nobody"}})
	wantKind(t, err, structs.KindNotFound)
}

func TestLockAnswersWithAFencingToken(t *testing.T) {
	b := newTestBackend(t)
	s := newSessionOn(t, b)
	lock := func(op structs.KVOp) *structs.KVReply {
		return mustAsk[structs.KVReply](t, b, "KV.Apply", &structs.KVRequest{Op: op, KV: structs.KVPair{Key: "lock", Session: s}})
	}
	first := lock(structs.KVLock)
	lock(structs.KVUnlock)
	second := lock(structs.KVLock)
	if !first.OK || !second.OK || first.FencingToken == 0 || second.FencingToken <= first.FencingToken {
		t.Errorf("fencing tokens %d, then %d", first.FencingToken, second.FencingToken)
	}
}
