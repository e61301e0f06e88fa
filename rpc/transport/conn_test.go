package transport

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/internal/creds"
	"github.com/debros/debros/structs"
)

// closedByPeer waits for the other side to end c.
func closedByPeer(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatal("the connection stayed open")
	}
}

func TestClientCertificateCannotSpeakRaft(t *testing.T) {
	k := creds.GenerateClusterKey()
	sv := newSide(t, newCreds(t, k, structs.RoleServer, "dc1"))
	s, addr := start(t, sv.Config, nil, nil)
	layer := s.RaftLayer(s.Addr(), nil)
	reached := make(chan struct{}, 10)
	go func() {
		for {
			c, err := layer.Accept()
			if err != nil {
				return
			}
			reached <- struct{}{}
			c.Close()
		}
	}()
	speak := func(c *creds.Creds) {
		t.Helper()
		conn, err := tls.Dial("tcp", addr, c.ClientTLS())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte{'R', raftAppendEntries, 0x80}); err != nil {
			t.Fatal(err)
		}
		closedByPeer(t, conn)
	}
	speak(newCreds(t, k, structs.RoleClient, "dc1"))
	speak(newCreds(t, k, structs.RoleServer, "dc2"))
	eventually(t, "both refusals are counted", func() bool { return sv.counter("conn_refused", "reason=raft_role") == 2 })
	if len(reached) != 0 {
		t.Fatal("raft got the connection of a client or of another datacenter")
	}
	if !strings.Contains(sv.log.String(), "tried to speak raft") {
		t.Error("the log is silent")
	}
	speak(newCreds(t, k, structs.RoleServer, "dc1"))
	if len(reached) != 1 {
		t.Error("raft did not get a server's connection")
	}
}

func TestClientCertificateCannotServe(t *testing.T) {
	k := creds.GenerateClusterKey()
	impostor, addr := start(t, newSide(t, newCreds(t, k, structs.RoleClient, "dc1")).Config, []Method{echo()}, nil)
	impostor.RaftLayer(impostor.Addr(), nil)
	for _, role := range []structs.Role{structs.RoleServer, structs.RoleClient} {
		me := newSide(t, newCreds(t, k, role, "dc1"))
		p := newPool(t, me.Config, nil)
		err := p.Call(withTimeout(t), addr, "Test.Echo", &echoRequest{Text: "secret"}, new(echoReply))
		if structs.KindOf(err) != structs.KindUnavailable {
			t.Errorf("a %s called an impostor: %v", role, err)
		}
		s, _ := start(t, me.Config, nil, nil)
		if c, err := s.RaftLayer(s.Addr(), nil).Dial(raftAddr(addr), patience); err == nil {
			c.Close()
			t.Errorf("a %s opened a raft connection to an impostor", role)
		}
		if me.counter("dial_error", "") < 2 {
			t.Error("the refusals were not counted")
		}
	}
}

func TestRaftReachesTheNodeThatItMeansOrNobody(t *testing.T) {
	k := creds.GenerateClusterKey()
	there := newCreds(t, k, structs.RoleServer, "dc1")
	peer, addr := start(t, newSide(t, there).Config, nil, nil)
	peer.RaftLayer(peer.Addr(), nil)
	s, _ := start(t, newSide(t, newCreds(t, k, structs.RoleServer, "dc1")).Config, nil, nil)
	layer := s.RaftLayer(s.Addr(), nil)
	c, err := layer.Dial(RaftAddress(there.Identity().ID, addr), patience)
	if err != nil {
		t.Fatalf("the node itself: %v", err)
	}
	c.Close()
	if c, err := layer.Dial(RaftAddress("12D3KooWanother", addr), patience); err == nil {
		c.Close()
		t.Error("another server at the address was taken for the one that was meant")
	}
	if c, err := layer.Dial(RaftAddress(there.Identity().ID, ""), patience); err == nil {
		c.Close()
		t.Error("an address that leads nowhere was reached")
	}
}

func TestClientNodeCannotDialRaft(t *testing.T) {
	k := creds.GenerateClusterKey()
	_, addr := start(t, newSide(t, newCreds(t, k, structs.RoleServer, "dc1")).Config, nil, nil)
	s, _ := start(t, newSide(t, newCreds(t, k, structs.RoleClient, "dc1")).Config, nil, nil)
	if _, err := s.RaftLayer(s.Addr(), nil).Dial(raftAddr(addr), patience); err == nil {
		t.Error("a client node opened a raft connection")
	}
}

func TestSilentAndStrangeConnectionsAreClosed(t *testing.T) {
	k := creds.GenerateClusterKey()
	for name, tc := range map[string]struct {
		creds  *creds.Creds
		say    string
		reason string
	}{
		"silent, plain":   {nil, "", "handshake"},
		"silent, tls":     {newCreds(t, k, structs.RoleServer, "dc1"), "", "handshake"},
		"http, plain":     {nil, "GET / HTTP/1.1\r\n\r\n", ""}, // 'G', as it happens: gRPC refuses it
		"http, tls":       {newCreds(t, k, structs.RoleServer, "dc1"), "GET / HTTP/1.1\r\n\r\n", "handshake"},
		"unknown byte":    {nil, "x", "first_byte"},
		"tls to plain":    {nil, "\x16\x03\x01\x02\x00", "first_byte"},
		"raft, no layer":  {nil, "R", "raft_unready"},
		"grpc, no speech": {nil, "G", ""},
		"grpc, garbage":   {nil, "G" + strings.Repeat("\x00", 1000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sv := newSide(t, tc.creds)
			if tc.reason != "first_byte" && tc.reason != "raft_unready" { // these must be read before they are refused
				sv.Limits.HandshakeTimeout = 50 * time.Millisecond
			}
			s, addr := start(t, sv.Config, nil, nil)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, tc.say)
			closedByPeer(t, c)
			eventually(t, "it is no longer counted as open", func() bool { return s.Conns() == 0 })
			if tc.reason != "" {
				eventually(t, "it is counted as "+tc.reason, func() bool { return sv.counter("conn_refused", "reason="+tc.reason) == 1 })
			}
		})
	}
}

func TestConnectionLimits(t *testing.T) {
	for _, tc := range []struct{ total, perIP, want int }{{total: 5, perIP: 100, want: 5}, {total: 100, perIP: 3, want: 3}} {
		sv := newSide(t, nil)
		sv.Limits.ConnsMax, sv.Limits.ConnsPerIPMax = tc.total, tc.perIP
		s, addr := start(t, sv.Config, []Method{echo()}, nil)
		var conns []net.Conn
		for range tc.want + 4 {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conns = append(conns, c)
		}
		eventually(t, "the rest is refused", func() bool { return sv.counter("conn_refused", "reason=limit") == 4 })
		if n := s.Conns(); n != tc.want {
			t.Errorf("%d connections are open, want %d", n, tc.want)
		}
		for _, c := range conns {
			c.Close()
		}
		eventually(t, "closed ones make room", func() bool { return s.Conns() == 0 })
		p := newPool(t, newSide(t, nil).Config, nil)
		if err := p.Call(withTimeout(t), addr, "Test.Echo", &echoRequest{}, new(echoReply)); err != nil {
			t.Error(err)
		}
	}
}

func TestCloseLeavesNothingOpen(t *testing.T) {
	s, addr := start(t, newSide(t, nil).Config, []Method{echo()}, nil)
	layer := s.RaftLayer(s.Addr(), nil)
	var conns []net.Conn
	for _, say := range []string{"", "R", "G"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, say)
		conns = append(conns, c)
	}
	rc, err := layer.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	for _, c := range append(conns, rc) {
		closedByPeer(t, c)
	}
	if n := s.Conns(); n != 0 {
		t.Errorf("%d connections left", n)
	}
	if _, err := layer.Accept(); err == nil {
		t.Error("the raft layer still accepts")
	}
	if _, err := layer.Dial(raftAddr(addr), patience); err == nil {
		t.Error("the raft layer still dials")
	}
	a, b := net.Pipe()
	s.ServeConn(a)
	closedByPeer(t, b)
}

func FuzzFirstBytes(f *testing.F) {
	f.Add([]byte("R\x00\x80"), true)
	f.Add([]byte("G"), false)
	f.Add([]byte("GPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"), false)
	f.Add([]byte("\x16\x03\x01"), true)
	f.Add([]byte{}, false)
	k := creds.GenerateClusterKey()
	own := newCreds(f, k, structs.RoleServer, "dc1")
	f.Fuzz(func(t *testing.T, data []byte, secure bool) {
		a, b := net.Pipe()
		defer b.Close() // not sooner: a peer that is gone is another case
		go io.Copy(io.Discard, b)
		go func() {
			b.Write(data)
			if len(data) == 0 || secure {
				b.Close() // it has said all: do not wait for the deadline
			}
		}()
		c := own
		if !secure {
			c = nil
		}
		pc, first, err := accept(context.Background(), a, c, patience)
		a.Close()
		switch {
		case err == nil && secure:
			t.Fatal("a peer without a certificate passed the handshake")
		case err == nil && (len(data) == 0 || first != data[0] || pc.identity.Verified):
			t.Fatalf("first byte %q of %q, identity %+v", first, data, pc.identity)
		case err != nil && !secure && len(data) > 0:
			t.Fatal(err)
		}
	})
}
