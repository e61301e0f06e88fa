package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/debros/debros/structs"
)

func TestMembersFindEachOtherFromOneBootstrapAddress(t *testing.T) {
	first := start(t)
	all := []*Overlay{first}
	for range 4 {
		all = append(all, start(t, knows(first)))
	}
	whole(t, all...)
}

func TestNeighborsNeedNoBootstrapAddress(t *testing.T) {
	a, b := start(t), start(t)
	a.SetNeighbors([]Neighbor{{Info: peer.AddrInfo{ID: b.ID(), Addrs: b.cfg.Listen}}})
	whole(t, a, b)
}

func TestAnUnusableListenAddressFailsTheStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	for name, addrs := range map[string][]ma.Multiaddr{
		"tcp port taken": HostAddrs(netip.MustParseAddr("127.0.0.1"), port),
		"not ours":       {ma.StringCast("/ip4/192.0.2.1/tcp/4001")},
		"no transport":   {ma.StringCast("/ip4/127.0.0.1/udp/4001")},
	} {
		_, err := tryStart(t, func(c *Config) { c.Listen = addrs })
		var se *structs.Error
		if !errors.As(err, &se) || se.Kind != structs.KindInvalid || se.Hint == "" || !strings.Contains(err.Error(), "/ip4/") {
			t.Errorf("%s: err = %v", name, err)
		}
	}
}

func TestAMemberDialsAndListens(t *testing.T) {
	a := start(t)
	b := start(t, knows(a))
	l, err := a.Listen("/test/1.0.0", MembersOnly)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	whole(t, a, b)
	c, err := b.Dial(ctxOf(t), a.ID(), "/test/1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.RemoteAddr().String(); got != a.ID().String() {
		t.Errorf("remote address %s", got)
	}
	data := bytes.Repeat([]byte("x"), 100_000)
	go func() { _, _ = c.Write(data); _ = c.(interface{ CloseWrite() error }).CloseWrite() }()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err := b.Dial(ctxOf(t), a.ID(), "/test/1.0.0"); err == nil {
		if _, err = c.Read(make([]byte, 1)); err == nil {
			t.Error("a closed listener still answers")
		}
	}
}

// A stranger may be connected, and uses nothing of what members have.
func TestAStrangerGetsNothingAndIsCounted(t *testing.T) {
	for name, word := range map[string]string{"another key": "two", "no key": ""} {
		t.Run(name, func(t *testing.T) {
			count := counts(t)
			a := start(t)
			b := start(t, knows(a))
			whole(t, a, b)
			if _, err := a.Listen("/debros/rpc/1.0.0", MembersOnly); err != nil {
				t.Fatal(err)
			}
			key, err := a.Put(ctxOf(t), "secret", []byte("members only"), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			s := start(t, withSecret(word), func(c *Config) {
				if word == "" {
					c.Secret = nil
				}
			})
			if err := s.connect(ctxOf(t), peer.AddrInfo{ID: a.ID(), Addrs: a.cfg.Listen}); !errors.Is(err, errNotMember) {
				t.Fatalf("connect = %v", err)
			}
			if _, err := s.Get(ctxOf(t), key); err == nil {
				t.Error("a stranger reads the table")
			}
			// It dials again, and asks for every protocol that it can think of.
			s.host.Peerstore().AddAddrs(a.ID(), a.cfg.Listen, time.Hour)
			for _, pid := range []string{"/debros/default/kad/1.0.0", string(protoExchange), "/debros/rpc/1.0.0"} {
				st, err := s.host.NewStream(ctxOf(t), a.ID(), ma2pid(pid))
				if err == nil {
					_ = st.SetDeadline(time.Now().Add(patience))
					_, _ = st.Write([]byte("{}"))
					var n int
					if n, err = st.Read(make([]byte, 1)); n > 0 {
						t.Errorf("%s answers a stranger", pid)
					}
				}
				if err == nil {
					t.Errorf("%s: no error", pid)
				}
				eventually(t, pid+" to be counted", func() bool { return count(pid) > 0 })
			}
			if count(string(protoMember)) == 0 {
				t.Error("the failed proof is not counted")
			}
			if a.IsMember(s.ID()) || s.IsMember(a.ID()) {
				t.Error("a stranger is a member")
			}
			if a.Host().Network().Connectedness(s.ID()) != network.NotConnected {
				t.Error("the members' host shows a stranger")
			}
			if list := a.Host().Network().Peers(); len(list) != 1 || list[0] != b.ID() {
				t.Errorf("the members' host shows %v", list)
			}
		})
	}
}

func TestTheKeeperRedialsALostMember(t *testing.T) {
	a := start(t)
	b := start(t, knows(a))
	whole(t, a, b)
	if err := b.host.Network().ClosePeer(a.ID()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss to be noticed", func() bool { return !b.IsMember(a.ID()) || !a.IsMember(b.ID()) })
	whole(t, a, b)
}

func TestAMemberThatComesBackIsDialled(t *testing.T) {
	a := start(t)
	cfg := a.cfg
	b := start(t, knows(a))
	whole(t, a, b)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss to be noticed", func() bool { return !b.IsMember(cfg.id()) })
	a = start(t, func(c *Config) { c.Key, c.Listen = cfg.Key, cfg.Listen })
	if a.ID() != cfg.id() {
		t.Fatal("another id")
	}
	whole(t, a, b)
}

func TestTwoAgentsWithOneKeyAreDetected(t *testing.T) {
	hub := start(t)
	a := start(t, knows(hub))
	whole(t, a, hub)
	conflict := make(chan struct{})
	b := start(t, knows(hub), func(c *Config) { c.Key, c.Conflict = a.cfg.Key, func() { close(conflict) } })
	select {
	case <-conflict:
	case <-time.After(patience):
		t.Fatal("the second agent with one key was not told")
	}
	_ = b
	if !hub.IsMember(a.ID()) {
		t.Error("the first agent lost its place")
	}
}

// manyMembers is 8, or 60 in the system tests.
func manyMembers() int {
	if os.Getenv("DEBROS_SYSTEM_TESTS") != "" {
		return 60
	}
	return 8
}

func TestManyMembersFindPeersAndProviders(t *testing.T) {
	n := manyMembers()
	few := func(c *Config) { c.PeersTarget = 4 }
	client := func(c *Config) { c.Server = false } // holds no part of the table
	all := []*Overlay{start(t, few)}
	for i := range n - 1 {
		if i < 2 {
			all = append(all, start(t, knows(all[0]), few))
			continue
		}
		all = append(all, start(t, knows(all[0]), few, client))
	}
	for _, o := range all {
		eventually(t, "four members each", func() bool { return len(o.Members()) >= 4 })
	}
	if err := all[7].SetOffers([]string{"service:database", "datacenter:dc1"}); err != nil {
		t.Fatal(err)
	}
	for i, o := range all {
		info, err := o.FindPeer(ctxOf(t), all[(i+n/2)%n].ID())
		if err != nil || len(info.Addrs) == 0 {
			t.Errorf("node %d: find peer: %v %v", i, info, err)
		}
		eventually(t, "the provider to be found", func() bool {
			got, err := o.Providers(ctxOf(t), "service:database", 5)
			return err == nil && len(got) == 1 && got[0].ID == all[7].ID() && len(got[0].Addrs) > 0
		})
		if got, err := o.Providers(ctxOf(t), "service:nothing", 5); err != nil || len(got) != 0 {
			t.Errorf("node %d: providers of nothing: %v %v", i, got, err)
		}
	}
}

// Most members hold no part of the table; one that knows only such ones would find and say nothing.
func TestMembersThatHoldTheTableAreNamedFirst(t *testing.T) {
	client := func(c *Config) { c.Server = false }
	server, hub := start(t), start(t, client)
	all := []*Overlay{start(t, knows(hub, server), client)}
	for range 6 {
		all = append(all, start(t, knows(hub), client, func(c *Config) { c.PeersTarget = 1 }))
	}
	for _, o := range append(all, server) {
		if _, err := hub.Connect(ctxOf(t), o.fullAddrs()[0]); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the hub to know who holds the table", func() bool { return len(hub.MembersWith(tableProtocol("default"))) == 1 })
	for range 20 {
		reply := hub.exchangeReply(all[1].ID(), 2)
		if len(reply.Peers) != 2 || reply.Peers[0].ID != server.ID().String() {
			t.Fatalf("named: %v", reply.Peers)
		}
	}
	newcomer := start(t, knows(hub), client)
	eventually(t, "the newcomer to be in the table", func() bool { return !newcomer.table.lonely() })
}

func TestAPeerThatKnowsNoHolderOfTheTableLooksBeyondItsTarget(t *testing.T) {
	one := func(c *Config) { c.PeersTarget = 1 }
	client := func(c *Config) { c.Server = false }
	server := start(t, one)
	hub := start(t, knows(server), client, one)
	whole(t, hub, server)
	newcomer := start(t, knows(hub), client, one)
	eventually(t, "the newcomer to be in the table", func() bool { return newcomer.IsMember(server.ID()) && !newcomer.table.lonely() })
}

func TestRecordsAreReadOnOtherMembers(t *testing.T) {
	a := start(t)
	b, c := start(t, knows(a)), start(t, knows(a))
	whole(t, a, b, c)
	for i := range 3 {
		want := fmt.Sprintf("version %d", i)
		key, err := b.Put(ctxOf(t), "note", []byte(want), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, want, func() bool {
			r, err := c.Get(ctxOf(t), key)
			return err == nil && string(r.Data) == want
		})
	}
	if _, err := b.Put(ctxOf(t), "note", make([]byte, RecordBytesMax), time.Hour); !errors.Is(err, structs.ErrTooLarge) {
		t.Errorf("a record beyond the limit: %v", err)
	}
	if _, err := c.Get(ctxOf(t), RecordKey(a.ID(), "nothing")); !errors.Is(err, structs.ErrNotFound) {
		t.Errorf("a record that is not there: %v", err)
	}
	for _, key := range []string{"", "note", "/debros/x/note", "/pk/" + a.ID().String(), RecordKey(a.ID(), "UPPER")} {
		if _, err := c.Get(ctxOf(t), key); !errors.Is(err, structs.ErrInvalid) {
			t.Errorf("key %q: %v", key, err)
		}
	}
}
