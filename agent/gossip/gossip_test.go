package gossip

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
	"github.com/debros/debros/test/pace"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

const patience = time.Minute

// eventually polls until ok, or fails with what at the deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func testConfig(name string) Config {
	return Config{
		Name: name, ID: structs.NodeID("id-" + name), Role: structs.RoleServer, Datacenter: "dc1",
		Build: "1.2.3", Expect: 3, Ports: map[string]int{"http": 5001, "server": 7001, "overlay": 4001},
		BindAddr: "127.0.0.1",
		Tuning: Tuning{
			GossipInterval: 10 * time.Millisecond, PushPull: 300 * time.Millisecond, LeavePropagateDelay: 20 * time.Millisecond,
			ProbeInterval: 10 * time.Second, ProbeTimeout: 5 * time.Second, // a busy machine must not make a living node fail
		},
		Logger: slog.New(slog.DiscardHandler),
	}
}

// quick is a testConfig for tests in which nodes fail and are noticed.
func quick(name string) Config {
	c := testConfig(name)
	c.Tuning.ProbeInterval, c.Tuning.ProbeTimeout, c.Tuning.SuspicionMult = pace.Factor*400*time.Millisecond, pace.Factor*300*time.Millisecond, 2
	c.Tuning.ReapInterval, c.Tuning.ReconnectInterval = 20*time.Millisecond, 100*time.Millisecond
	return c
}

func start(t *testing.T, cfg Config) *Gossip {
	t.Helper()
	g, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// lowPort is a port for a node that comes back to it: below those that the system hands out itself, so
// that nobody takes it while the node is down.
func lowPort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 20000 + mathrand.IntN(12000)
		addr := net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp", addr)
		l.Close()
		if err == nil {
			u.Close()
			return port
		}
	}
	t.Fatal("no free port between 20000 and 32000")
	return 0
}

func addrOf(g *Gossip) string {
	m := g.Local()
	return net.JoinHostPort(m.Addr, fmt.Sprint(m.Port))
}

func join(t *testing.T, g, to *Gossip) {
	t.Helper()
	if n, err := g.Join(t.Context(), []string{addrOf(to)}); n != 1 || err != nil {
		t.Fatalf("join: %d, %v", n, err)
	}
}

// status is how g sees a node; "" when it does not.
func status(g *Gossip, name string) structs.MemberStatus {
	for _, m := range g.Members() {
		if m.Name == name {
			return m.Status
		}
	}
	return ""
}

func eventuallyStatus(t *testing.T, g *Gossip, name string, want structs.MemberStatus) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s sees %s as %q", g.cfg.Name, name, want), func() bool { return status(g, name) == want })
}

// waitEvent reads events until one is of one of the kinds.
func waitEvent(t *testing.T, g *Gossip, kinds ...EventKind) Event {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case e, ok := <-g.Events():
			if !ok {
				t.Fatalf("events closed before %s", kinds)
			}
			if slices.Contains(kinds, e.Kind) {
				return e
			}
		case <-deadline:
			t.Fatalf("no %s event", kinds)
		}
	}
}

func key(t *testing.T) []byte {
	t.Helper()
	k := make([]byte, 32)
	if _, err := rand.Read(k); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestMembersKnowEachOthersTags(t *testing.T) {
	t.Parallel()
	a := start(t, quick("a"))
	cb := quick("b")
	cb.Role, cb.Expect, cb.Ports, cb.SQLite = structs.RoleClient, 0, map[string]int{"http": 1, "metrics": 9100}, "3.50"
	b := start(t, cb)
	join(t, b, a)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	eventuallyStatus(t, b, "a", structs.MemberAlive)

	ma, mb := b.Members()[0], a.Members()[1]
	if ma.ID != "id-a" || ma.Role != structs.RoleServer || ma.Datacenter != "dc1" || ma.Build != "1.2.3" || ma.Expect != 3 ||
		ma.Protocol != structs.ProtocolVersion || ma.FSM != structs.FSMVersion || ma.Port != a.Local().Port || ma.Addr != "127.0.0.1" {
		t.Errorf("a is %+v", ma)
	}
	for name, want := range map[string]int{"http": 5001, "server": 7001, "overlay": 4001, "serf_lan": ma.Port} {
		if ma.Ports[name] != want {
			t.Errorf("port %s of a is %d, want %d", name, ma.Ports[name], want)
		}
	}
	if mb.Role != structs.RoleClient || mb.Expect != 0 || mb.Ports["metrics"] != 9100 || mb.Tags["sv"] != "3.50" {
		t.Errorf("b is %+v", mb)
	}
	if e := waitEvent(t, a, EventJoin); e.Members[0].Name != "a" {
		t.Errorf("first join is of %s", e.Members[0].Name)
	}
	if e := waitEvent(t, a, EventJoin); e.Members[0].Name != "b" {
		t.Errorf("second join is of %s", e.Members[0].Name)
	}
	eventually(t, "coordinates of both", func() bool { return len(a.Coordinates()) == 2 && len(b.Coordinates()) == 2 })
}

func TestFailedMemberIsReaped(t *testing.T) {
	t.Parallel()
	ca := quick("a")
	ca.ReconnectTimeout = 300 * time.Millisecond
	a, b := start(t, ca), start(t, quick("b"))
	join(t, b, a)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	if err := b.Shutdown(); err != nil {
		t.Fatal(err)
	}
	waitEvent(t, a, EventFailed)
	if e := waitEvent(t, a, EventReap); e.Members[0].Name != "b" {
		t.Errorf("reaped %s", e.Members[0].Name)
	}
	eventuallyStatus(t, a, "b", "")
}

func TestRemoveFailed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	a, b, c := start(t, quick("a")), start(t, quick("b")), start(t, quick("c"))
	join(t, b, a)
	join(t, c, a)
	eventuallyStatus(t, a, "c", structs.MemberAlive)
	eventuallyStatus(t, b, "c", structs.MemberAlive)
	if err := a.RemoveFailed(ctx, "c", true); !errors.Is(err, structs.ErrConflict) {
		t.Errorf("removing a living node: %v", err)
	}
	if err := a.RemoveFailed(ctx, "nobody", false); !errors.Is(err, structs.ErrNotFound) {
		t.Errorf("removing an unknown node: %v", err)
	}
	if err := c.Shutdown(); err != nil {
		t.Fatal(err)
	}
	eventuallyStatus(t, a, "c", structs.MemberFailed)
	eventuallyStatus(t, b, "c", structs.MemberFailed)
	if err := a.RemoveFailed(ctx, "c", false); err != nil {
		t.Fatal(err)
	}
	eventuallyStatus(t, b, "c", structs.MemberLeft)
	if err := a.RemoveFailed(ctx, "c", false); err != nil { // done already
		t.Fatal(err)
	}
	begin := time.Now()
	if err := a.RemoveFailed(ctx, "c", true); err != nil {
		t.Fatal(err)
	}
	eventuallyStatus(t, a, "c", "")
	// The request to forget is said once and not kept; a node that missed it is told by another.
	eventually(t, "b forgets c", func() bool {
		return status(b, "c") == "" || time.Since(begin) > patience/2 && b.RemoveFailed(ctx, "c", true) == nil
	})
}

func TestLeaveIsNotAFailure(t *testing.T) {
	t.Parallel()
	a, b := start(t, testConfig("a")), start(t, testConfig("b"))
	join(t, b, a)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := waitEvent(t, a, EventLeave); e.Members[0].Name != "b" || e.Members[0].Status != structs.MemberLeft {
		t.Errorf("left: %+v", e.Members[0])
	}
	eventuallyStatus(t, a, "b", structs.MemberLeft)
}

func TestWrongOrNoKeyIsIgnoredAndCounted(t *testing.T) {
	t.Parallel()
	ca := quick("a")
	ca.Keys = [][]byte{key(t)}
	a := start(t, ca)
	for name, keys := range map[string][][]byte{"nokey": nil, "otherkey": {key(t)}} {
		before := a.rejected.Load()
		c := quick(name)
		c.Keys = keys
		b := start(t, c)
		if n, err := b.Join(t.Context(), []string{addrOf(a)}); n != 0 || err == nil {
			t.Errorf("%s joined: %d, %v", name, n, err)
		}
		eventually(t, name+" is counted", func() bool { return a.rejected.Load() > before })
		// By UDP, and in the other direction.
		before = a.rejected.Load()
		if b.answers(a.Local()) {
			t.Errorf("%s got an answer", name)
		}
		eventually(t, name+" is counted by UDP", func() bool { return a.rejected.Load() > before })
		before = b.rejected.Load()
		_, _ = a.Join(t.Context(), []string{addrOf(b)})
		eventually(t, name+" counts us", func() bool { return b.rejected.Load() > before })
		if len(a.Members()) != 1 || len(b.Members()) != 1 {
			t.Errorf("%s is listed: %v", name, a.Members())
		}
	}
	if a.Stats()["rejected"] == "0" || a.Stats()["encrypted"] != "true" {
		t.Errorf("stats: %v", a.Stats())
	}
}

func TestMembersOfOtherProgramsAreIgnored(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig("a"))
	quiet := log.New(io.Discard, "", 0)
	foreign := func(name string, tags map[string]string) {
		sc := serf.DefaultConfig()
		sc.NodeName, sc.Tags, sc.Logger = name, tags, quiet
		sc.MemberlistConfig.BindAddr, sc.MemberlistConfig.BindPort, sc.MemberlistConfig.Logger = "127.0.0.1", 0, quiet
		s, err := serf.Create(sc)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Shutdown() })
		if _, err := s.Join([]string{addrOf(a)}, false); err != nil {
			t.Fatal(err)
		}
	}
	foreign("consul", map[string]string{"role": "consul", "dc": "dc1", "id": "id-a"})
	foreign("liar", map[string]string{"debros": "1", "id": "\x00\xff", "role": "king", "ports": "h=99999999"})
	foreign("bad ports", map[string]string{"debros": "1", "id": "x", "role": "server", "dc": "dc1", "ports": ",,=,"})
	mc := memberlist.DefaultLANConfig() // no serf at all: its metadata is not ours to decode
	mc.Name, mc.BindAddr, mc.BindPort, mc.Logger = "raw", "127.0.0.1", 0, quiet
	mc.Delegate, mc.DelegateProtocolMin, mc.DelegateProtocolMax, mc.DelegateProtocolVersion = junk{}, 2, 5, 5
	ml, err := memberlist.Create(mc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ml.Shutdown() })
	_, _ = ml.Join([]string{addrOf(a)}) // whether it is let in is memberlist's business

	eventually(t, "foreign members are counted", func() bool { return a.foreignSeen.Load() >= 2 && a.malformedSeen.Load() == 2 })
	if ms := a.Members(); len(ms) != 1 || ms[0].Name != "a" {
		t.Errorf("members: %v", ms)
	}
	if len(a.Coordinates()) > 1 {
		t.Error("coordinates of strangers")
	}
	b := start(t, testConfig("b"))
	join(t, b, a)
	waitEvent(t, a, EventJoin) // a itself
	if e := waitEvent(t, a, EventJoin); len(e.Members) != 1 || e.Members[0].Name != "b" {
		t.Errorf("the next event after a's own join is of %v", e.Members)
	}
}

// junk is a memberlist delegate that sends nonsense.
type junk struct{}

func (junk) NodeMeta(int) []byte             { return []byte{255, 0x81, 0xff, 0xff} }
func (junk) NotifyMsg([]byte)                {}
func (junk) GetBroadcasts(int, int) [][]byte { return [][]byte{{0xff, 1, 2}, {3}} }
func (junk) LocalState(bool) []byte          { return []byte{2, 0xff, 0xff} }
func (junk) MergeRemoteState([]byte, bool)   {}

func TestOtherDatacenterIsRefused(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig("a"))
	cb := testConfig("b")
	cb.Datacenter = "dc2"
	b := start(t, cb)
	if _, err := b.Join(t.Context(), []string{addrOf(a)}); err == nil || !strings.Contains(err.Error(), "datacenter dc1") {
		t.Errorf("join: %v", err)
	}
	eventually(t, "counted", func() bool { return a.wrongDC.Load() > 0 })
	if len(a.Members()) != 1 || len(b.Members()) != 1 {
		t.Errorf("members: %v, %v", a.Members(), b.Members())
	}
}

func TestAJoinThatFailsSaysWhyInOneLine(t *testing.T) {
	t.Parallel()
	a := start(t, quick("a"))
	n, err := a.Join(t.Context(), []string{"127.0.0.1:1", "no-such-name.invalid"})
	var e *structs.Error
	if n != 0 || !errors.As(err, &e) || e.Kind != structs.KindUnavailable || e.Hint == "" {
		t.Fatalf("joined %d: %v", n, err)
	}
	for _, want := range []string{"127.0.0.1:1", "refused", "no-such-name.invalid"} {
		if !strings.Contains(e.Message, want) {
			t.Errorf("%q does not say %q", e.Message, want)
		}
	}
	if strings.ContainsAny(e.Message, "\n\t*") {
		t.Errorf("%q is not one line", e.Message)
	}
}

func TestRestartedNodeRejoinsWithoutRetryJoin(t *testing.T) {
	t.Parallel()
	a := start(t, quick("a"))
	cb := quick("b")
	cb.SnapshotPath = filepath.Join(t.TempDir(), "serf", "local.snapshot")
	b, err := Start(cb)
	if err != nil {
		t.Fatal(err)
	}
	join(t, b, a)
	eventuallyStatus(t, b, "a", structs.MemberAlive)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	if err := b.Shutdown(); err != nil {
		t.Fatal(err)
	}
	eventuallyStatus(t, a, "b", structs.MemberFailed)
	// Port 0 again: it comes back at another address, which must be healthy too.
	b = start(t, cb)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	eventually(t, "a has the new address", func() bool { return a.Members()[1].Port == b.Local().Port })
	if a.conflicts.Load()+b.conflicts.Load() > 0 {
		t.Error("a restart was taken for a conflict")
	}
}

func TestRejoinGoesOnUntilSomebodyAnswers(t *testing.T) {
	t.Parallel()
	ca := testConfig("a")
	ca.BindPort = lowPort(t)
	a := start(t, ca)
	cb := testConfig("b")
	cb.SnapshotPath = filepath.Join(t.TempDir(), "snapshot")
	b, err := Start(cb)
	if err != nil {
		t.Fatal(err)
	}
	join(t, b, a)
	eventuallyStatus(t, b, "a", structs.MemberAlive)
	if err := b.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if err := a.Shutdown(); err != nil {
		t.Fatal(err)
	}
	b = start(t, cb) // nobody is there: serf's own single attempt fails
	time.Sleep(100 * time.Millisecond)
	a = start(t, ca)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	eventuallyStatus(t, b, "a", structs.MemberAlive)
}

// serf keeps the last lines of its snapshot in a buffer until something else happens: after SIGKILL they are lost.
func TestANodeThatWasKilledSoonAfterItJoinedRejoins(t *testing.T) {
	t.Parallel()
	a := start(t, quick("a"))
	cb := quick("b")
	cb.SnapshotPath = filepath.Join(t.TempDir(), "serf", "local.snapshot")
	b, err := Start(cb)
	if err != nil {
		t.Fatal(err)
	}
	join(t, b, a)
	eventuallyStatus(t, b, "a", structs.MemberAlive)
	eventually(t, "the members are saved", func() bool { return len(readSaved(b.savedFile(), "b")) == 1 })
	if err := b.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(cb.SnapshotPath); err != nil {
		t.Fatal(err)
	}
	b = start(t, cb)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	eventuallyStatus(t, b, "a", structs.MemberAlive)
	eventually(t, "the members are saved again", func() bool { return len(readSaved(b.savedFile(), "b")) == 1 })
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := readSaved(b.savedFile(), "b"); left != nil {
		t.Errorf("it left, and would come back to %v", left)
	}
}

func TestUserEventsPassThrough(t *testing.T) {
	t.Parallel()
	a, b := start(t, testConfig("a")), start(t, testConfig("b"))
	join(t, b, a)
	eventuallyStatus(t, a, "b", structs.MemberAlive)
	if err := a.UserEvent("deploy", []byte("v2"), false); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*Gossip{a, b} {
		if e := waitEvent(t, g, EventUser); e.Name != "deploy" || string(e.Payload) != "v2" || e.LTime == 0 {
			t.Errorf("event: %+v", e)
		}
	}
	if err := a.UserEvent("big", make([]byte, 600), false); !errors.Is(err, structs.ErrTooLarge) {
		t.Errorf("big event: %v", err)
	}
}

func TestUnreadEventsBlockNobody(t *testing.T) {
	t.Parallel()
	a, b := start(t, testConfig("a")), start(t, testConfig("b"))
	join(t, b, a)
	for i := range 3 * eventsMax { // nobody reads a.Events
		if err := a.UserEvent("e", []byte(fmt.Sprint(i)), false); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "dropped events are counted", func() bool { return a.userDropped.Load() > 0 })
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventuallyStatus(t, a, "b", structs.MemberLeft)
	waitEvent(t, a, EventResync, EventLeave) // the latter if it came when the queue was being read already
}

func TestShutdownTwiceAndAfterwards(t *testing.T) {
	t.Parallel()
	g, err := Start(testConfig("a"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := g.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	for range g.Events() { // closed
	}
	if _, err := g.Join(t.Context(), []string{"127.0.0.1:1"}); !errors.Is(err, structs.ErrUnavailable) {
		t.Errorf("join after shutdown: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Leave(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("leave: %v", err)
	}
}

func TestStartNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	taken := start(t, testConfig("a"))
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"port taken":  {func(c *Config) { c.BindPort = taken.Local().Port }, "is taken"},
		"address":     {func(c *Config) { c.BindAddr, c.BindPort = "192.0.2.1", 7946 }, "cannot listen"},
		"name":        {func(c *Config) { c.Name = "a/b" }, "node name"},
		"id":          {func(c *Config) { c.ID = "" }, "node id"},
		"role":        {func(c *Config) { c.Role = "voter" }, "role"},
		"datacenter":  {func(c *Config) { c.Datacenter = "DC 1" }, "datacenter"},
		"expect":      {func(c *Config) { c.Expect = -1 }, "bootstrap_expect"},
		"many expect": {func(c *Config) { c.Expect = 5000 }, "expect"},
		"key":         {func(c *Config) { c.Keys = [][]byte{{1}} }, "gossip key 0"},
		"port":        {func(c *Config) { c.Ports = map[string]int{"http": 70000} }, "port http"},
		"tags":        {func(c *Config) { c.Build, c.SQLite = strings.Repeat("b", 120), strings.Repeat("s", 400) }, "longest are sv (400 bytes), build (120 bytes)"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig("b")
			c.change(&cfg)
			g, err := Start(cfg)
			if err == nil {
				_ = g.Shutdown()
				t.Fatal("started")
			}
			if !errors.Is(err, structs.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v", err)
			}
		})
	}
}
