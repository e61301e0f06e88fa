package server

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/debros/debros/rpc"
	"github.com/debros/debros/structs"
)

// Abroad finds servers of other datacenters.
type Abroad interface {
	// ServersOf are addresses of servers of a datacenter that can be dialled now; none when there is no path.
	ServersOf(ctx context.Context, datacenter string) []string
	// Datacenters are those of which a server is connected.
	Datacenters() []string
}

// readLost is the error of a read that was passed on. That its answer got lost says nothing of what was done: it changed nothing, and
// may be asked again.
func readLost(err error) error {
	var e *structs.Error
	if errors.As(err, &e) && e.Kind == structs.KindUnknownResult {
		return structs.Errorf(structs.KindUnavailable, "%s", e.Message).WithHint("a read changes nothing: try again")
	}
	return err
}

// forwardAbroad passes a request on to a server of another datacenter, which passes it on to its leader where it needs to. What
// surely changed nothing there is tried with each that is connected; agent/router/DESIGN.md says what is trusted and what fails how.
func (s *Server) forwardAbroad(ctx context.Context, to rpc.ForwardTo, req any, call func(context.Context, string) error) error {
	var addrs []string
	if s.cfg.Abroad != nil && !to.Forwarded { // one that came from abroad already does not travel on
		addrs = s.cfg.Abroad.ServersOf(ctx, to.Datacenter)
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	mark := forwardedMark(req)
	for _, addr := range addrs {
		was := *mark
		*mark = false // there it may go to the leader still
		err := call(ctx, addr)
		*mark = was
		var used *usedStream
		switch {
		case errors.As(err, &used):
			return used.error
		case errors.Is(err, structs.ErrUnavailable) && ctx.Err() == nil:
			s.log.Debug("a server of another datacenter does not answer", "datacenter", to.Datacenter, "address", addr, "error", err)
		default:
			return err
		}
	}
	return structs.Errorf(structs.KindNoPath, "No path to datacenter").
		WithHint("this agent's datacenter is %s, and no server of %q answers on the overlay: `debros members -wan` lists those that are reached", s.cfg.Datacenter, to.Datacenter)
}

// forwardedMark is where a request says that it was passed on.
func forwardedMark(req any) *bool {
	switch r := req.(type) {
	case interface{ Query() *structs.QueryOptions }:
		return &r.Query().Forwarded
	case interface{ Write() *structs.WriteOptions }:
		return &r.Write().Forwarded
	}
	return new(bool)
}

// Datacenters implements rpc.Backend.
func (s *Server) Datacenters() []string {
	if s.cfg.Abroad == nil {
		return nil
	}
	return s.cfg.Abroad.Datacenters()
}
