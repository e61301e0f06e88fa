//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/test/harness"
)

// overlayPeers is how many peers there are, the three servers among them.
const overlayPeers = 20

// overlayWithin bounds what is waited for.
const overlayWithin = 3 * time.Minute

// edgeTarget is by how much an edge agent may be slower than a client agent of the LAN.
const edgeTarget = 1.5

// measureOverlay compares an edge agent, whose requests go over libp2p, with a client agent on the LAN, and
// measures what peers do with each other.
func measureOverlay(ctx context.Context, b *bench) error {
	peers, err := b.peers(ctx)
	if err != nil {
		return err
	}
	if err := measureEdge(ctx, b, peers); err != nil {
		return err
	}
	if err := measureConnects(ctx, b, peers); err != nil {
		return err
	}
	return measureTable(ctx, b, peers)
}

// sideAgents is how many agents are on each side: each stays with a server of its choice, which may be the leader.
const sideAgents = 6

// overlayNodes are the agents of this part.
type overlayNodes struct {
	lan, edge []*harness.Node
	others    []*api.NetworkSelf // the rest
}

// peers starts client agents, some of them edge agents, until there are overlayPeers peers.
func (b *bench) peers(ctx context.Context) (p overlayNodes, err error) {
	c, err := b.servers(ctx)
	if err != nil {
		return p, err
	}
	b.progress("starting %d client agents", overlayPeers-len(c.Servers))
	ctx, cancel := context.WithTimeout(ctx, overlayWithin)
	defer cancel()
	server, err := c.Servers[0].API().Network().Self(ctx)
	if err != nil {
		return p, err
	}
	var nodes []*harness.Node
	for i := range overlayPeers - len(c.Servers) {
		n, err := c.AddClient("peer" + strconv.Itoa(i+1))
		if err != nil {
			return p, err
		}
		if i < sideAgents {
			n.JoinOverlay = server.Listen[0] + "/p2p/" + server.ID
		}
		if err := n.Start(); err != nil {
			return p, err
		}
		nodes = append(nodes, n)
	}
	p.edge, p.lan = nodes[:sideAgents], nodes[sideAgents:2*sideAgents]
	for i, n := range nodes {
		var self *api.NetworkSelf
		err := c.Wait(ctx, func(ctx context.Context) (err error) {
			if self, err = n.Quick().Network().Self(ctx); err != nil {
				return err
			}
			if self.TableSize < len(c.Servers) {
				return fmt.Errorf("%s knows %d peers of the table", n.Name, self.TableSize)
			}
			_, _, err = n.Quick().KV().Get(ctx, "bench-none", nil)
			if errors.Is(err, api.ErrNotFound) {
				err = nil
			}
			return err
		})
		if err != nil {
			return p, err
		}
		if i >= 2*sideAgents {
			p.others = append(p.others, self)
		}
	}
	return p, nil
}

// measureEdge puts and gets through both kinds, in turn.
func measureEdge(ctx context.Context, b *bench, p overlayNodes) error {
	if err := b.fillGets(p.lan[0].HTTPAddr()); err != nil {
		return err
	}
	for _, what := range []struct {
		name   string
		caller func(addr string) callerMaker
	}{
		{"put", func(addr string) callerMaker { return rawPuts(addr) }},
		{"linearizable get", func(addr string) callerMaker { return rawGets(addr, "") }},
	} {
		onLAN, onEdge := httpSide("client", 1, inTurn(p.lan, what.caller)), httpSide("edge", 1, inTurn(p.edge, what.caller))
		if err := b.interleave(ctx, what.name+" through agents", onLAN, onEdge); err != nil {
			return err
		}
		b.report.add(throughput(what.name+", 1 caller, client agents on the LAN", onLAN.sum))
		w := throughput(what.name+", 1 caller, edge agents over a direct path", onEdge.sum)
		w.Measured, w.Unit = onEdge.sum.P50.Seconds()*1000, "ms"
		w = w.against("the client's p50", onLAN.sum.P50.Seconds()*1000)
		w.Target, w.AtMost = edgeTarget, true
		b.report.add(w)
	}
	return nil
}

// callerMaker makes one caller's operation.
type callerMaker func(i int) (op func() error, done func(), err error)

// inTurn makes callers that ask one agent after the other.
func inTurn(nodes []*harness.Node, of func(addr string) callerMaker) callerMaker {
	return func(i int) (func() error, func(), error) {
		var ops []func() error
		var ends []func()
		done := func() {
			for _, end := range ends {
				end()
			}
		}
		for _, n := range nodes {
			op, end, err := of(n.HTTPAddr())(i)
			if err != nil {
				done()
				return nil, nil, err
			}
			ops, ends = append(ops, op), append(ends, end)
		}
		n := 0
		return func() error { n++; return ops[n%len(ops)]() }, done, nil
	}
}

// connectRounds is how often each other peer is dialled.
const connectRounds = 2

// measureConnects has the edge agent dial peers: a handshake, identification and the proof of membership.
func measureConnects(ctx context.Context, b *bench, p overlayNodes) error {
	asked := p.edge[0].API().Network()
	laps := make([]time.Duration, 0, connectRounds*len(p.others))
	for range connectRounds {
		for _, other := range p.others {
			if err := asked.Disconnect(ctx, other.ID); err != nil && !errors.Is(err, api.ErrNotFound) {
				return err
			}
			addr := other.Listen[0] + "/p2p/" + other.ID
			begin := time.Now()
			if _, err := asked.Connect(ctx, addr); err != nil {
				return fmt.Errorf("connect to %s: %w", other.Node, err)
			}
			laps = append(laps, time.Since(begin))
		}
	}
	b.report.add(quantiles("connection of two peers, until both have proven to be members", laps))
	return nil
}

// tableRounds is how often the table is asked each kind of thing.
const tableRounds = 50

func measureTable(ctx context.Context, b *bench, p overlayNodes) error {
	asked := p.edge[0].API().Network()
	with := fmt.Sprintf(", %d peers", overlayPeers)
	for _, q := range []struct {
		what string
		ask  func(n int) error
	}{
		{"table: put a record (the walk of a provide)" + with, func(n int) error {
			_, err := asked.PutRecord(ctx, "bench", []byte(strconv.Itoa(n)), time.Hour)
			return err
		}},
		{"table: find a record" + with, func(n int) error {
			_, err := asked.GetRecord(ctx, "/debros/"+p.others[n%len(p.others)].ID+"/node")
			return err
		}},
		{"table: find the providers of a service, their claims verified" + with, func(int) error {
			list, err := asked.Providers(ctx, "service:database")
			if err == nil && len(list) == 0 {
				err = errors.New("nobody provides service:database")
			}
			return err
		}},
	} {
		for n := range p.others {
			if err := waitFor(ctx, func() error { return q.ask(n) }); err != nil {
				return fmt.Errorf("%s: %w", q.what, err)
			}
		}
		var laps []time.Duration
		for n := range tableRounds {
			begin := time.Now()
			if err := q.ask(n); err != nil {
				return fmt.Errorf("%s: %w", q.what, err)
			}
			laps = append(laps, time.Since(begin))
		}
		b.report.add(quantiles(q.what, laps))
	}
	return nil
}

// waitFor repeats what agents answer once they have told the table of themselves.
func waitFor(ctx context.Context, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, overlayWithin)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if sleep(ctx, time.Second) != nil {
			return err
		}
	}
}

func quantiles(what string, laps []time.Duration) row {
	p50 := quantile(laps, 0.5)
	return row{What: what, Value: fmt.Sprintf("p50 %s, p99 %s", round(p50), round(quantile(laps, 0.99))), Measured: p50.Seconds() * 1000, Unit: "ms"}
}
