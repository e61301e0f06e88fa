package gossip

import (
	"errors"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// conflictOf waits for a conflict and checks who is in it.
func conflictOf(t *testing.T, g *Gossip, known, other *Gossip) Event {
	t.Helper()
	e := waitEvent(t, g, EventConflict)
	if len(e.Members) != 2 {
		t.Fatalf("conflict of %d members", len(e.Members))
	}
	if k, o := known.Local(), other.Local(); e.Members[0].ID != k.ID || e.Members[0].Port != k.Port ||
		e.Members[1].ID != o.ID || e.Members[1].Port != o.Port {
		t.Errorf("conflict is between %+v and %+v", e.Members[0], e.Members[1])
	}
	if e.Reason == "" {
		t.Error("no reason given")
	}
	return e
}

func TestCloneUnderAnotherNameIsRefused(t *testing.T) {
	t.Parallel()
	a, b := start(t, testConfig("a")), start(t, testConfig("b"))
	join(t, b, a)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	cc := testConfig("clone")
	cc.ID = "id-b"
	c := start(t, cc)
	if _, err := c.Join(t.Context(), []string{addrOf(a)}); !errors.Is(err, structs.ErrConflict) {
		t.Errorf("the clone's join: %v", err)
	}
	if e := conflictOf(t, c, c, b); !e.Self || !e.Newcomer {
		t.Errorf("the clone is not told to stop: %+v", e)
	}
	if e := conflictOf(t, a, b, c); e.Self || e.Newcomer {
		t.Errorf("a third node's event: %+v", e)
	}
	if s := status(a, "clone"); s != "" {
		t.Errorf("the clone is a member: %s", s)
	}
	eventuallyStatus(t, a, "b", structs.MemberAlive)
}

func TestCloneOfTheOnlyNodeIsRefused(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig("a"))
	cc := testConfig("clone")
	cc.ID = "id-a"
	c := start(t, cc)
	if _, err := c.Join(t.Context(), []string{addrOf(a)}); !errors.Is(err, structs.ErrConflict) {
		t.Errorf("the clone's join: %v", err)
	}
	if e := conflictOf(t, c, c, a); !e.Newcomer {
		t.Errorf("the clone is not told to stop: %+v", e)
	}
	if e := conflictOf(t, a, a, c); !e.Self || e.Newcomer {
		t.Errorf("the original is told to stop: %+v", e)
	}
}

func TestCloneAtAnotherAddressIsRefused(t *testing.T) {
	t.Parallel()
	a, b := start(t, testConfig("a")), start(t, testConfig("b"))
	join(t, b, a)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	c := start(t, testConfig("b")) // same name, same id
	if _, err := c.Join(t.Context(), []string{addrOf(a)}); !errors.Is(err, structs.ErrConflict) {
		t.Errorf("the clone's join: %v", err)
	}
	if e := conflictOf(t, c, c, b); !e.Newcomer {
		t.Errorf("the clone is not told to stop: %+v", e)
	}
	conflictOf(t, a, b, c)
	if m := a.Members()[1]; m.Port != b.Local().Port {
		t.Error("the clone took the original's place")
	}
}

func TestNameOfALivingNodeIsRefused(t *testing.T) {
	t.Parallel()
	a, b := start(t, testConfig("a")), start(t, testConfig("b"))
	join(t, b, a)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	cc := testConfig("b")
	cc.ID = "id-thief"
	c := start(t, cc)
	if _, err := c.Join(t.Context(), []string{addrOf(a)}); !errors.Is(err, structs.ErrConflict) {
		t.Errorf("the thief's join: %v", err)
	}
	conflictOf(t, a, b, c)
	if m := a.Members()[1]; m.ID != "id-b" {
		t.Errorf("the name belongs to %s", m.ID)
	}
}

func TestNameOfAFailedNodeIsFree(t *testing.T) {
	t.Parallel()
	a, b := start(t, quick("a")), start(t, quick("b"))
	join(t, b, a)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	if err := b.Shutdown(); err != nil {
		t.Fatal(err)
	}
	eventuallyStatus(t, a, "b", structs.MemberFailed)
	cc := quick("b")
	cc.ID = "id-new"
	c := start(t, cc)
	join(t, c, a)
	eventually(t, "the new node has the name", func() bool {
		ms := a.Members()
		return len(ms) == 2 && ms[1].ID == "id-new" && ms[1].Status == structs.MemberAlive
	})
	if n := a.conflicts.Load() + c.conflicts.Load(); n != 0 {
		t.Errorf("%d conflicts", n)
	}
}

// restarts are ways in which a node comes back before anybody has noticed that it was gone.
var restarts = map[string]func(*Config){
	"at another address":           func(c *Config) { c.BindPort = 0 },
	"with another name":            func(c *Config) { c.Name, c.BindPort = "renamed", 0 },
	"with another name, same port": func(c *Config) { c.Name = "renamed" },
	"set up anew, same port":       func(c *Config) { c.ID = "id-new" },
	"unchanged":                    func(*Config) {},
}

func TestQuickRestartIsNoConflict(t *testing.T) {
	t.Parallel()
	for name, change := range restarts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, quick("a"))
			cb := quick("b")
			cb.BindPort = lowPort(t)
			b, err := Start(cb)
			if err != nil {
				t.Fatal(err)
			}
			join(t, b, a)
			eventuallyStatus(t, a, "b", structs.MemberAlive)
			if err := b.Shutdown(); err != nil {
				t.Fatal(err)
			}
			change(&cb)
			b = start(t, cb)
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("a sees %+v", a.Members())
					t.Logf("b sees %+v, its last join: %v", b.Members(), err)
				}
			})
			eventually(t, "the node is back", func() bool {
				// As retry_join does; one success is enough for it.
				_, err = b.Join(t.Context(), []string{addrOf(a)})
				if errors.Is(err, structs.ErrConflict) {
					t.Fatal(err)
				}
				for _, m := range a.Members() {
					if m.ID == cb.ID && m.Name == cb.Name && m.Port == b.Local().Port && m.Status == structs.MemberAlive {
						return true
					}
				}
				return false
			})
			if n := a.conflicts.Load() + b.conflicts.Load(); n != 0 {
				t.Errorf("%d conflicts", n)
			}
		})
	}
}

// TestMovedNodeIsAcceptedWithoutAnotherJoin: the old address fails, and then the new one's own
// exchanges are enough.
func TestMovedNodeIsAcceptedWithoutAnotherJoin(t *testing.T) {
	t.Parallel()
	a := start(t, quick("a"))
	cb := quick("b")
	b, err := Start(cb)
	if err != nil {
		t.Fatal(err)
	}
	join(t, b, a)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	if err := b.Shutdown(); err != nil {
		t.Fatal(err)
	}
	b = start(t, cb)
	join(t, b, a)
	eventually(t, "a has the new address", func() bool {
		m := a.Members()[1]
		return m.Port == b.Local().Port && m.Status == structs.MemberAlive
	})
}

func TestSelfJoinIsNoConflict(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig("a"))
	if n, err := a.Join(t.Context(), []string{addrOf(a)}); n != 1 || err != nil {
		t.Errorf("join of itself: %d, %v", n, err)
	}
	if a.conflicts.Load() != 0 {
		t.Error("in conflict with itself")
	}
}

func TestOwnOldAddressIsNoConflict(t *testing.T) {
	t.Parallel()
	cfg := testConfig("a")
	cfg.BindAddr = "" // every interface
	cfg.AdvertiseAddr = "127.0.0.2"
	a := start(t, cfg)
	old := a.Local()
	old.Addr = "127.0.0.1"
	if !a.answers(old) {
		t.Fatal("a node on every interface does not answer on 127.0.0.1")
	}
	if a.confirm(suspicion{known: a.Local(), other: old, self: true}) {
		t.Error("its own old address is taken for a clone")
	}
}

func TestLastingConflictIsReportedOnceAMinute(t *testing.T) {
	t.Parallel()
	a, b := start(t, testConfig("a")), start(t, testConfig("b"))
	join(t, b, a)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	cc := testConfig("clone")
	cc.ID = "id-b"
	c := start(t, cc)
	for range 5 {
		_, _ = c.Join(t.Context(), []string{addrOf(a)})
	}
	eventually(t, "a reports", func() bool { return a.conflicts.Load() > 0 })
	time.Sleep(200 * time.Millisecond) // the clone goes on gossiping meanwhile
	if n := a.conflicts.Load(); n != 1 {
		t.Errorf("%d reports", n)
	}
}
