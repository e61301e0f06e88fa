package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/debros/debros/internal/creds"
	"github.com/debros/debros/structs"
)

func TestCallCarriesStructsAndIdentity(t *testing.T) {
	k := creds.GenerateClusterKey()
	for name, c := range map[string][2]*creds.Creds{
		"plain":           {nil, nil},
		"client":          {newCreds(t, k, structs.RoleServer, "dc1"), newCreds(t, k, structs.RoleClient, "dc1")},
		"server":          {newCreds(t, k, structs.RoleServer, "dc1"), newCreds(t, k, structs.RoleServer, "dc1")},
		"other dc's node": {newCreds(t, k, structs.RoleServer, "dc1"), newCreds(t, k, structs.RoleServer, "dc2")},
	} {
		t.Run(name, func(t *testing.T) {
			_, addr := start(t, newSide(t, c[0]).Config, []Method{echo()}, nil)
			p := newPool(t, newSide(t, c[1]).Config, nil)
			req := echoRequest{Text: "höflich\x00", Data: bytes.Repeat([]byte{0xc1, 0}, 200_000)}
			var rep echoReply
			if err := p.Call(withTimeout(t), addr, "Test.Echo", &req, &rep); err != nil {
				t.Fatal(err)
			}
			if rep.Text != req.Text || !bytes.Equal(rep.Data, req.Data) {
				t.Errorf("the answer differs: %q, %d bytes", rep.Text, len(rep.Data))
			}
			want := creds.Identity{}
			if c[1] != nil {
				want = c[1].Identity()
			}
			if rep.Identity != want {
				t.Errorf("identity %+v, want %+v", rep.Identity, want)
			}
			if rep.Deadline <= 0 || rep.Deadline > patience {
				t.Errorf("the caller's deadline came as %v", rep.Deadline)
			}
		})
	}
}

// The same over connections that no network made.
func TestRPCWorksOverAnyConn(t *testing.T) {
	k := creds.GenerateClusterKey()
	s, err := Listen(nil, newSide(t, newCreds(t, k, structs.RoleServer, "dc1")).Config, []Method{echo()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := newPool(t, newSide(t, newCreds(t, k, structs.RoleClient, "dc1")).Config, pipeTo(s))
	var rep echoReply
	if err := p.Call(withTimeout(t), "a place%with no/URL", "Test.Echo", &echoRequest{Text: "hi"}, &rep); err != nil || rep.Text != "hi" {
		t.Fatalf("%q, %v", rep.Text, err)
	}
	if s.Serve() == nil {
		t.Error("Serve without a listener returned nil")
	}
}

func pipeTo(s *Server) DialFunc {
	return func(context.Context, string) (net.Conn, error) {
		a, b := net.Pipe()
		s.ServeConn(a)
		return b, nil
	}
}

func TestErrorsCrossAsStructsErrors(t *testing.T) {
	want := structs.Errorf(structs.KindQuota, "no room — für %q", "x\x00").WithHint("delete\nsomething")
	failing := Unary("Test.Fail", func(_ context.Context, req *echoRequest, _ *echoReply) error {
		switch req.Text {
		case "known":
			return fmt.Errorf("wrapped: %w", want)
		case "long":
			return structs.Errorf(structs.KindInvalid, "%s", strings.Repeat("ü", 1<<20))
		case "panic":
			panic("secret in a panic")
		case "context":
			return context.DeadlineExceeded
		}
		return errors.New("secret in an error")
	})
	sv := newSide(t, nil)
	_, addr := start(t, sv.Config, []Method{failing}, nil)
	p := newPool(t, newSide(t, nil).Config, nil)
	call := func(text string) *structs.Error {
		t.Helper()
		err := p.Call(withTimeout(t), addr, "Test.Fail", &echoRequest{Text: text}, new(echoReply))
		e, ok := err.(*structs.Error)
		if !ok {
			t.Fatalf("%T: %v", err, err)
		}
		return e
	}
	if e := call("known"); *e != *want {
		t.Errorf("%+v, want %+v", e, want)
	}
	if e := call("long"); e.Kind != structs.KindInvalid || len(e.Message) > errorMessageBytesMax+8 || !strings.HasPrefix(e.Message, "üüü") {
		t.Errorf("%v, %d bytes", e.Kind, len(e.Message))
	}
	if e := call("context"); e.Kind != structs.KindCanceled {
		t.Errorf("%+v", e)
	}
	for _, text := range []string{"internal", "panic"} {
		e := call(text)
		if e.Kind != structs.KindInternal || strings.Contains(e.Message, "secret") {
			t.Errorf("%s: %+v", text, e)
		}
	}
	for _, s := range []string{"secret in an error", "secret in a panic"} {
		if !strings.Contains(sv.log.String(), s) {
			t.Errorf("the log does not have %q", s)
		}
	}
	if n := sv.counter("request_error", "kind=internal"); n != 2 {
		t.Errorf("%d internal errors counted, want 2", n)
	}
	if n := sv.counter("panic", ""); n != 1 {
		t.Errorf("%d panics counted, want 1", n)
	}
}

func TestUnknownMethodIsUnsupported(t *testing.T) {
	_, addr := start(t, newSide(t, nil).Config, nil, nil)
	p := newPool(t, newSide(t, nil).Config, nil)
	if err := p.Call(withTimeout(t), addr, "No.Such", &echoRequest{}, nil); structs.KindOf(err) != structs.KindUnsupported {
		t.Error(err)
	}
	if err := p.Stream(withTimeout(t), addr, "No.Such", &echoRequest{}, nil, nil); structs.KindOf(err) != structs.KindUnsupported {
		t.Error(err)
	}
}

func TestServersOnlyMethodsRefuseClientsAndServersOfOtherDatacenters(t *testing.T) {
	k := creds.GenerateClusterKey()
	m := echo()
	m.ServersOnly = true
	_, addr := start(t, newSide(t, newCreds(t, k, structs.RoleServer, "dc1")).Config, []Method{m}, nil)
	call := func(role structs.Role, dc string) error {
		p := newPool(t, newSide(t, newCreds(t, k, role, dc)).Config, nil)
		return p.Call(withTimeout(t), addr, "Test.Echo", &echoRequest{}, new(echoReply))
	}
	if err := call(structs.RoleServer, "dc1"); err != nil {
		t.Error(err)
	}
	if err := call(structs.RoleClient, "dc1"); structs.KindOf(err) != structs.KindDenied {
		t.Errorf("a client got %v", err)
	}
	if err := call(structs.RoleServer, "dc2"); structs.KindOf(err) != structs.KindDenied {
		t.Errorf("a server of another datacenter got %v", err)
	}
}

func TestOversizedMessagesAreRefusedBothWays(t *testing.T) {
	sv := newSide(t, nil)
	sv.Limits.MessageBytesMax = 64 << 10
	grow := Unary("Test.Grow", func(_ context.Context, req *echoRequest, rep *echoReply) error {
		rep.Data = make([]byte, 128<<10)
		return nil
	})
	_, addr := start(t, sv.Config, []Method{echo(), grow}, nil)
	p := newPool(t, newSide(t, nil).Config, nil)
	big := &echoRequest{Data: make([]byte, 65<<10)}
	if err := p.Call(withTimeout(t), addr, "Test.Echo", big, new(echoReply)); structs.KindOf(err) != structs.KindTooLarge {
		t.Errorf("a large request: %v", err)
	}
	if err := p.Call(withTimeout(t), addr, "Test.Grow", &echoRequest{}, new(echoReply)); structs.KindOf(err) != structs.KindUnknownResult {
		t.Errorf("a large answer, to what may have been a write: %v", err)
	}
	if err := p.Call(withTimeout(t), addr, "Test.Echo", &echoRequest{Text: "still"}, new(echoReply)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestFailureBeforeSendingIsUnavailable(t *testing.T) {
	l := tcp(t)
	addr := l.Addr().String()
	l.Close()
	k := creds.GenerateClusterKey()
	for _, c := range []*creds.Creds{nil, newCreds(t, k, structs.RoleClient, "dc1")} {
		p := newPool(t, newSide(t, c).Config, nil)
		err := p.Call(withTimeout(t), addr, "Test.Echo", &echoRequest{}, new(echoReply))
		if structs.KindOf(err) != structs.KindUnavailable || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%v", err)
		}
		if err := p.Stream(withTimeout(t), addr, "Test.Echo", &echoRequest{}, nil, nil); structs.KindOf(err) != structs.KindUnavailable {
			t.Errorf("stream: %v", err)
		}
	}
	// A server of another cluster never saw the request either.
	_, other := start(t, newSide(t, newCreds(t, creds.GenerateClusterKey(), structs.RoleServer, "dc1")).Config, []Method{echo()}, nil)
	p := newPool(t, newSide(t, newCreds(t, k, structs.RoleClient, "dc1")).Config, nil)
	if err := p.Call(withTimeout(t), other, "Test.Echo", &echoRequest{}, new(echoReply)); structs.KindOf(err) != structs.KindUnavailable {
		t.Errorf("another cluster's server: %v", err)
	}
}

func TestPoolFindsAServerThatComesBack(t *testing.T) {
	l := tcp(t)
	addr := l.Addr().String()
	l.Close()
	p := newPool(t, newSide(t, nil).Config, nil)
	if err := p.Call(withTimeout(t), addr, "Test.Echo", &echoRequest{}, new(echoReply)); err == nil {
		t.Fatal("nobody listens, yet the call succeeded")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	s, err := Listen(l, newSide(t, nil).Config, []Method{echo()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	go s.Serve()
	eventually(t, "the call succeeds", func() bool {
		return p.Call(withTimeout(t), addr, "Test.Echo", &echoRequest{}, new(echoReply)) == nil
	})
}

// The promise that writes stand on: lost after sending is never called unavailable, and nothing is sent twice.
func TestFailureAfterSendingIsUnknownResultAndNotRetried(t *testing.T) {
	for _, how := range []string{"connection cut", "server closed"} {
		t.Run(how, func(t *testing.T) {
			var handled atomic.Int32
			arrived := make(chan struct{}, 10)
			hang := Unary("Test.Hang", func(ctx context.Context, _ *echoRequest, _ *echoReply) error {
				handled.Add(1)
				arrived <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			})
			s, addr := start(t, newSide(t, nil).Config, []Method{hang, echo()}, nil)
			cl := newSide(t, nil)
			p := newPool(t, cl.Config, nil)
			result := make(chan error, 1)
			go func() {
				result <- p.Call(withTimeout(t), addr, "Test.Hang", &echoRequest{}, new(echoReply))
			}()
			<-arrived
			if how == "server closed" {
				s.Close()
			} else {
				s.conns.mu.Lock()
				var all []net.Conn
				for c := range s.conns.open {
					all = append(all, c)
				}
				s.conns.mu.Unlock()
				for _, c := range all {
					c.Close()
				}
			}
			err := <-result
			if structs.KindOf(err) != structs.KindUnknownResult || err.(*structs.Error).Hint == "" {
				t.Errorf("%+v", err)
			}
			if how == "connection cut" {
				if err := p.Call(withTimeout(t), addr, "Test.Echo", &echoRequest{}, new(echoReply)); err != nil {
					t.Errorf("the next call: %v", err)
				}
			}
			if n := handled.Load(); n != 1 {
				t.Errorf("the request was handled %d times", n)
			}
			if n := cl.counter("call_unknown_result", ""); n != 1 {
				t.Errorf("counted %d times", n)
			}
		})
	}
}

func TestDeadlineAndCancellationReachTheMethod(t *testing.T) {
	ended := make(chan error, 20)
	arrived := make(chan struct{}, 20)
	hang := Unary("Test.Hang", func(ctx context.Context, _ *echoRequest, _ *echoReply) error {
		arrived <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	})
	_, addr := start(t, newSide(t, nil).Config, []Method{hang}, nil)
	p := newPool(t, newSide(t, nil).Config, nil)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		cancel()
	}()
	err := p.Call(ctx, addr, "Test.Hang", &echoRequest{}, new(echoReply))
	if structs.KindOf(err) != structs.KindCanceled || !strings.Contains(err.(*structs.Error).Hint, "had been sent") {
		t.Errorf("cancelled: %+v", err)
	}
	<-ended
	// A deadline that is over before the method was reached shows nothing: the next one is longer.
	for d := 50 * time.Millisecond; len(arrived) == 0 && d < patience; d *= 2 {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		if err := p.Call(ctx, addr, "Test.Hang", &echoRequest{}, new(echoReply)); structs.KindOf(err) != structs.KindCanceled {
			t.Errorf("deadline: %+v", err)
		}
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the deadline did not reach the method")
	}
}

func TestShutdownLetsCallsFinishAndTurnsNewOnesAway(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{})
	slow := Unary("Test.Slow", func(ctx context.Context, _ *echoRequest, rep *echoReply) error {
		close(arrived)
		<-release
		rep.Text = "done"
		return nil
	})
	s, addr := start(t, newSide(t, nil).Config, []Method{slow, echo()}, nil)
	p := newPool(t, newSide(t, nil).Config, nil)
	result := make(chan error, 1)
	var rep echoReply
	go func() { result <- p.Call(withTimeout(t), addr, "Test.Slow", &echoRequest{}, &rep) }()
	<-arrived
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(withTimeout(t)) }()
	eventually(t, "new calls are refused without doubt", func() bool {
		err := p.Call(withTimeout(t), addr, "Test.Echo", &echoRequest{}, new(echoReply))
		if err != nil && structs.KindOf(err) != structs.KindUnavailable {
			t.Fatalf("%+v", err)
		}
		return err != nil
	})
	close(release)
	if err := <-result; err != nil || rep.Text != "done" {
		t.Errorf("%q, %v", rep.Text, err)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	s.Close() // again
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	arrived := make(chan struct{})
	hang := Unary("Test.Hang", func(ctx context.Context, _ *echoRequest, _ *echoReply) error {
		close(arrived)
		<-ctx.Done()
		return ctx.Err()
	})
	s, addr := start(t, newSide(t, nil).Config, []Method{hang}, nil)
	p := newPool(t, newSide(t, nil).Config, nil)
	result := make(chan error, 1)
	go func() { result <- p.Call(withTimeout(t), addr, "Test.Hang", &echoRequest{}, new(echoReply)) }()
	<-arrived
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	s.Shutdown(ctx)
	if err := <-result; err == nil {
		t.Error("the hanging call succeeded")
	}
}

func TestPoolForgetsIdleAddressesAndClosesTheirConnections(t *testing.T) {
	s1, addr1 := start(t, newSide(t, nil).Config, []Method{echo()}, nil)
	_, addr2 := start(t, newSide(t, nil).Config, []Method{echo()}, nil)
	cl := newSide(t, nil)
	cl.Limits.IdleTimeout = 30 * time.Millisecond
	p := newPool(t, cl.Config, nil)
	call := func(addr string) {
		t.Helper()
		if err := p.Call(withTimeout(t), addr, "Test.Echo", &echoRequest{}, new(echoReply)); err != nil {
			t.Fatal(err)
		}
	}
	call(addr1)
	eventually(t, "the first address is forgotten", func() bool {
		call(addr2)
		return p.Conns() == 1 && s1.Conns() == 0
	})
	call(addr1)
	p.Close()
	p.Close()
	if err := p.Call(withTimeout(t), addr1, "Test.Echo", &echoRequest{}, nil); structs.KindOf(err) != structs.KindUnavailable {
		t.Errorf("after Close: %v", err)
	}
}

func TestMethodListsAreChecked(t *testing.T) {
	sm := StreamMethod{Name: "Test.Echo", New: func() any { return nil }}
	for name, f := range map[string]func() error{
		"twice":   func() error { _, err := Listen(nil, Config{}, []Method{echo(), echo()}, nil); return err },
		"unnamed": func() error { m := echo(); m.Name = ""; _, err := Listen(nil, Config{}, []Method{m}, nil); return err },
		"no code": func() error { _, err := Listen(nil, Config{}, nil, []StreamMethod{sm}); return err },
	} {
		if f() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
