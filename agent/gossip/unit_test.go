package gossip

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
	"github.com/hashicorp/serf/serf"
)

func TestFullQueueBecomesOneResync(t *testing.T) {
	dropped := 0
	q := &queue{max: 3, dropped: func() { dropped++ }}
	q.add(Event{Kind: EventJoin, Name: "1"})
	q.add(Event{Kind: EventUser, Name: "2"})
	q.add(Event{Kind: EventFailed, Name: "3"})
	q.add(Event{Kind: EventUpdate}) // full from here
	q.add(Event{Kind: EventUser})
	q.add(Event{Kind: EventReap})
	q.add(Event{Kind: EventConflict, Name: "4"})
	if dropped != 1 {
		t.Errorf("%d user events counted as dropped", dropped)
	}
	var got []string
	for len(q.pending) > 0 {
		got = append(got, string(q.pending[0].Kind))
		q.pop()
		if len(got) == 3 {
			q.add(Event{Kind: EventLeave}) // after the resync was queued: delivered as usual
		}
	}
	if s := strings.Join(got, " "); s != "join user failed conflict resync leave" {
		t.Errorf("delivered: %s", s)
	}
	for i := range 100 {
		q.add(Event{Kind: EventConflict, Name: fmt.Sprint(i)})
	}
	if n := len(q.pending); n != 3+conflictsMax {
		t.Errorf("%d conflicts are queued", n)
	}
}

func TestRosterFindsWhoElseLives(t *testing.T) {
	m := func(name, id string, port int, s structs.MemberStatus) structs.Member {
		return structs.Member{Name: name, ID: structs.NodeID(id), Addr: "10.0.0.1", Port: port, Status: s}
	}
	r := newRoster()
	r.put(m("a", "ida", 1, structs.MemberAlive))
	r.put(m("b", "idb", 2, structs.MemberAlive))
	r.put(m("old", "idb", 3, structs.MemberFailed)) // b before it was renamed
	for name, c := range map[string]struct {
		m    structs.Member
		want string
	}{
		"itself":               {m("a", "ida", 1, ""), ""},
		"moved":                {m("a", "ida", 9, ""), "a"},
		"name taken":           {m("a", "idx", 9, ""), "a"},
		"set up anew":          {m("a", "idx", 1, ""), ""},
		"id taken":             {m("x", "idb", 9, ""), "b"},
		"renamed":              {m("x", "idb", 2, ""), ""},
		"both taken":           {m("a", "idb", 9, ""), "a b"},
		"name of a failed one": {m("old", "idx", 9, ""), ""},
	} {
		var names []string
		for _, e := range r.alive(c.m) {
			names = append(names, e.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if !r.forget("b") || r.forget("b") {
		t.Error("forget")
	}
	if got := r.alive(m("x", "idb", 9, "")); len(got) != 0 {
		t.Errorf("after forgetting: %v", got)
	}
}

func TestTagsFitWithARealPeerID(t *testing.T) {
	cfg := testConfig(strings.Repeat("n", 128))
	cfg.ID = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
	cfg.Datacenter = strings.Repeat("d", 64)
	cfg.Build, cfg.SQLite = "10.20.30-beta.40+0123456789abcdef", "3.50.4"
	tags, err := encodeTags(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := tagsSize(tags); err != nil || n > 300 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestTagsSizeIsSerfs(t *testing.T) {
	// The error for tags that are too long must come from us, and none that fit be refused.
	for _, extra := range []int{0, 1, 2} {
		cfg := testConfig("a")
		cfg.Build = ""
		tags, err := encodeTags(&cfg)
		if err != nil {
			t.Fatal(err)
		}
		size, err := tagsSize(tags)
		if err != nil {
			t.Fatal(err)
		}
		const header = 2 // a longer string has a longer header
		cfg.SQLite = strings.Repeat("s", tagBytesMax-size-header+extra)
		g, err := Start(cfg)
		if err == nil {
			_ = g.Shutdown()
		}
		if tooLong := err != nil; tooLong != (extra > 0) {
			t.Errorf("%d bytes over: %v", extra, err)
		}
		if err != nil && !strings.Contains(err.Error(), "gossip tags of this node") {
			t.Errorf("not our error: %v", err)
		}
	}
}

func TestParseSnapshot(t *testing.T) {
	text := "alive: self 10.0.0.1:1\nalive: a 10.0.0.2:1\nclock: 12\nalive: b b 10.0.0.3:1\n" +
		"not-alive: a\nalive: a 10.0.0.4:1\nalive: gone [::1]:1\nnot-alive: gone\nalive:\nalive: \nalive: x\n"
	got := parseSnapshot(strings.NewReader(text), "self", false)
	slices.Sort(got)
	if want := []string{"a/10.0.0.4:1", "b b/10.0.0.3:1"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := parseSnapshot(strings.NewReader(text+"leave\n"), "self", false); len(got) != 0 {
		t.Errorf("after a leave: %v", got)
	}
	if got := parseSnapshot(strings.NewReader(text+"leave\n"), "self", true); len(got) != 2 {
		t.Errorf("rejoin after a leave: %v", got)
	}
}

func TestRejectionsAreLoggedSparingly(t *testing.T) {
	n, lines := 0, 0
	tap := &logTap{next: writerFunc(func(p []byte) (int, error) { lines++; return len(p), nil }), rejected: func() { n++ }}
	for range 50 {
		_, _ = tap.Write([]byte("[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=10.0.0.1:7946\n"))
		_, _ = tap.Write([]byte("[DEBUG] memberlist: failed to join 10.0.0.1: remote state is encrypted and encryption is not configured\n"))
	}
	if n != 50 || lines != 51 {
		t.Errorf("%d counted, %d lines", n, lines)
	}
	if !tap.mayLog(time.Now().Add(rejectLogInterval)) {
		t.Error("never logged again")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func FuzzParseMember(f *testing.F) {
	good := testConfig("a")
	tags, err := encodeTags(&good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a", tags[tagID], tags[tagRole], tags[tagDC], tags[tagPorts], tags[tagExpect], tags[tagBuild], tags[tagProto], tags[tagFSM])
	f.Add("", "", "", "", "", "", "", "", "")
	f.Add("a/b", "\xff", "king", "DC", "h=70000,=,", "-1", "\x00", "99999999999999999999", "1e3")
	f.Add("a", "x", "client", "dc", "h=1,h=2,serf_lan=9", "0", "", "+1", "0x1")
	f.Fuzz(func(t *testing.T, name, id, role, dc, ports, expect, build, proto, fsm string) {
		in := map[string]string{
			tagMarker: "1", tagID: id, tagRole: role, tagDC: dc, tagPorts: ports, tagExpect: expect,
			tagBuild: build, tagProto: proto, tagFSM: fsm,
		}
		m, err := parseMember(serf.Member{Name: name, Addr: net.IP(ports), Port: 7946, Tags: in})
		if err != nil {
			return
		}
		if m.ID == "" || m.Name == "" || m.Expect < 0 || m.Expect > expectMax || m.Protocol < 0 || m.FSM < 0 || m.Ports["serf_lan"] != 7946 {
			t.Fatalf("accepted %+v", m)
		}
		if m.Role != structs.RoleServer && m.Role != structs.RoleClient {
			t.Fatalf("accepted role %q", m.Role)
		}
		for n, p := range m.Ports {
			if p < 0 || p > 65535 || n == "" {
				t.Fatalf("accepted port %q=%d", n, p)
			}
		}
		// What was understood can be said again with the same meaning.
		back, err := parsePorts(encodePorts(m.Ports))
		if err != nil {
			t.Fatal(err)
		}
		want := maps.Clone(m.Ports)
		maps.DeleteFunc(want, func(n string, p int) bool { return p == 0 || n == "serf_lan" })
		if !maps.Equal(back, want) {
			t.Fatalf("ports %v became %v", want, back)
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	f.Add("alive: a 10.0.0.1:1\nleave\n")
	f.Add("not-alive: \nalive:  \n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		for _, addr := range parseSnapshot(strings.NewReader(text), "self", false) {
			if name, _, ok := strings.Cut(addr, "/"); !ok || name == "self" {
				t.Fatalf("address %q", addr)
			}
		}
	})
}
