package router

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/debros/debros/structs"
)

// askAfter is how long a far server may owe an answer before it is asked whether it lives, and again
// after each time that it does. With askTimeout it makes two seconds until another server is asked:
// more than a distant or busy one takes for so small a thing, far less than the transport takes to find a connection dead.
const askAfter = time.Second

// attempt is how a call of one server ended.
type attempt struct {
	reply any
	err   error
	first bool
}

// call calls one server, and another one beside it when the first has fallen silent and the request may be made twice. One
// that may not waits on, but later ones are sent elsewhere.
//
// Each try has a reply of its own, and call waits for those that it gives up: whoever answers late finds nobody's memory.
func (r *Router) call(ctx context.Context, s Server, method string, req, reply any) error {
	if !s.Far || blocks(req) {
		return r.pool.Call(ctx, s.Addr, method, req, reply)
	}
	var tries sync.WaitGroup
	defer tries.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers, lives := make(chan attempt, 2), make(chan bool, 1)
	try := func(to Server, first bool) {
		own := reflect.New(reflect.TypeOf(reply).Elem()).Interface()
		tries.Go(func() { answers <- attempt{own, r.pool.Call(ctx, to.Addr, method, req, own), first} })
	}
	try(s, true)
	ask := time.NewTimer(askAfter)
	defer ask.Stop()
	_, isRead := req.(interface{ Query() *structs.QueryOptions })
	var lost error // of one of two tries
	for running := 1; ; {
		select {
		case a := <-answers:
			running--
			switch {
			case a.err == nil:
				reflect.ValueOf(reply).Elem().Set(reflect.ValueOf(a.reply).Elem())
				return nil
			case !unanswered(a.err):
				return a.err
			case lost == nil || structs.KindOf(a.err) == structs.KindUnknownResult:
				lost = a.err // the other one's word that nothing was sent does not speak for both
			}
			if running == 0 || isRead && !a.first {
				return lost
			}
		case <-ask.C:
			tries.Go(func() { lives <- r.lives(ctx, s) })
		case ok := <-lives:
			if ok || ctx.Err() != nil {
				ask.Reset(askAfter)
				continue
			}
			r.choice.failed(s, time.Now())
			if !repeatsSafely(req) {
				continue
			}
			if other, ok := r.choice.pick(time.Now()); ok && other.ID != s.ID {
				r.log.Debug("a server is silent; another one is asked", "method", method, "server", s.ID, "other", other.ID)
				try(other, false)
				running++
			}
		}
	}
}

// lives asks a server for something that it answers by itself and at once.
func (r *Router) lives(ctx context.Context, s Server) bool {
	err := r.askLeader(ctx, s, new(structs.StatusReply))
	return err == nil || !unanswered(err) && structs.KindOf(err) != structs.KindCanceled
}

// unanswered reports an error that is not a server's last word on a request.
func unanswered(err error) bool {
	switch structs.KindOf(err) {
	case structs.KindNoLeader, structs.KindUnavailable, structs.KindUnknownResult:
		return true
	}
	return false
}

// repeatsSafely reports whether a request may reach two servers, one of them late: a read that does not block, SQL
// whose reply is kept under its id, an edge agent's word that it lives. What a condition may refuse is not: no
// reply is kept then, and a late copy might find the condition met.
func repeatsSafely(req any) bool {
	switch q := req.(type) {
	case interface{ Query() *structs.QueryOptions }:
		return !blocks(req)
	case *structs.SQLRequest:
		return q.RequestID != "" && len(q.Guards) == 0
	case *structs.NodeRegisterRequest:
		return q.Edge != nil && !q.Edge.Leaves
	}
	return false
}
