package router

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/debros/debros/structs"
)

// farPool is a Pool over servers of the overlay that take their time, or say nothing any more.
type farPool struct {
	list []Server
	took map[string]time.Duration // by address: how long an answer takes

	mu     sync.Mutex // protects the following
	silent string     // the address of the server that is gone
	calls  []string   // addresses, in order, without those that only ask for the leader
}

func newFarPool(n int) *farPool {
	p := &farPool{took: map[string]time.Duration{}}
	for _, s := range newNetwork(n).list() {
		s.Far = true
		p.list = append(p.list, s)
	}
	return p
}

func (p *farPool) router(t *testing.T) *Router {
	return newRouter(t, &network{}, func(c *Config) {
		c.Pool, c.Servers = p, func() []Server { return p.list }
	})
}

func (p *farPool) Call(ctx context.Context, addr, method string, _, reply any) error {
	took := time.Millisecond
	p.mu.Lock()
	if method != "Status.Leader" {
		p.calls = append(p.calls, addr)
		took = max(took, p.took[addr])
	}
	silent := addr == p.silent
	p.mu.Unlock()
	var answer <-chan time.Time
	if !silent {
		answer = time.After(took)
	}
	// As the transport's keepalive: 10 s and 5 s.
	lost := time.After(15 * time.Second)
	select {
	case <-answer:
		if r, ok := reply.(*structs.KVGetReply); ok {
			r.Entry = &structs.KVPair{Key: addr}
		}
		return nil
	case <-lost:
		return structs.Errorf(structs.KindUnknownResult, "the connection was lost")
	case <-ctx.Done():
		if r, ok := reply.(*structs.KVGetReply); ok { // one whose answer is on its way decodes it yet
			r.Entry = &structs.KVPair{Key: "late"}
		}
		return structs.Errorf(structs.KindCanceled, "the request was cancelled")
	}
}

func (p *farPool) Stream(context.Context, string, string, any, io.Reader, io.Writer) error {
	return nil
}

// dies makes the server silent that r uses.
func (p *farPool) dies(r *Router) Server {
	s, _ := r.Server()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent, p.calls = s.Addr, nil
	return s
}

func TestASilentServerIsNotWaitedForWhereARequestMayBeMadeTwice(t *testing.T) {
	for name, c := range map[string]struct {
		method     string
		req, reply any
		want       time.Duration // of the first request
		tries      int
	}{
		"read":                 {"KV.Get", &structs.KeyRequest{Key: "a"}, &structs.KVGetReply{}, 2 * time.Second, 2},
		"SQL with an id":       {"SQL.Execute", &structs.SQLRequest{RequestID: "1"}, &structs.SQLReply{}, 2 * time.Second, 2},
		"SQL with a condition": {"SQL.Execute", &structs.SQLRequest{RequestID: "1", Guards: make([]structs.SQLGuard, 1)}, &structs.SQLReply{}, 15 * time.Second, 1},
		"SQL without":          {"SQL.Execute", &structs.SQLRequest{}, &structs.SQLReply{}, 15 * time.Second, 1},
		"write":                {"KV.Apply", &structs.KVRequest{Op: structs.KVSet}, &structs.KVReply{}, 15 * time.Second, 1},
		"blocking read":        {"KV.Get", &structs.KeyRequest{Key: "a", QueryOptions: structs.QueryOptions{Index: 9}}, &structs.KVGetReply{}, 15 * time.Second, 2},
		"sign of life":         {"Catalog.Register", &structs.NodeRegisterRequest{Edge: &structs.EdgeNode{}}, &structs.WriteReply{}, 2 * time.Second, 2},
		"last word":            {"Catalog.Register", &structs.NodeRegisterRequest{Edge: &structs.EdgeNode{Leaves: true}}, &structs.WriteReply{}, 15 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newFarPool(3)
				r := p.router(t)
				gone := p.dies(r)
				begin := time.Now()
				err := r.RPC(t.Context(), c.method, c.req, c.reply)
				if took := time.Since(begin); took < c.want || took > c.want+time.Second {
					t.Errorf("it took %s, want %s", took, c.want)
				}
				if (c.tries == 1) != (err != nil) || err != nil && structs.KindOf(err) != structs.KindUnknownResult {
					t.Errorf("its end: %v", err)
				}
				if len(p.calls) != c.tries || p.calls[0] != gone.Addr || slices.Contains(p.calls[1:], gone.Addr) {
					t.Errorf("%s is gone, asked were %v", gone.Addr, p.calls)
				}
				if rep, ok := c.reply.(*structs.KVGetReply); ok && (rep.Entry == nil || rep.Entry.Key != p.calls[1]) {
					t.Errorf("the reply is %+v", rep.Entry)
				}
			})
		})
	}
}

func TestOthersGoElsewhereWhileAWriteWaitsForASilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFarPool(2)
		r := p.router(t)
		p.dies(r)
		done := make(chan error)
		go func() { done <- put(t.Context(), r) }()
		time.Sleep(askAfter + askTimeout + time.Millisecond)
		begin := time.Now()
		if err := put(t.Context(), r); err != nil || time.Since(begin) > 100*time.Millisecond {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		wantKind(t, <-done, structs.KindUnknownResult)
	})
}

func TestABusyServerThatLivesIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFarPool(3)
		r := p.router(t)
		s, _ := r.Server()
		p.took[s.Addr] = 12 * time.Second
		if err := get(t.Context(), r); err != nil || len(p.calls) != 1 {
			t.Errorf("%v; asked were %v", err, p.calls)
		}
		if now, _ := r.Server(); now.ID != s.ID {
			t.Errorf("it went from %s to %s", s.ID, now.ID)
		}
	})
}

func TestASilentServerAloneIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFarPool(1)
		r := p.router(t)
		p.dies(r)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		wantKind(t, get(ctx, r), structs.KindCanceled)
		if len(p.calls) != 1 {
			t.Errorf("asked were %v", p.calls)
		}
	})
}
