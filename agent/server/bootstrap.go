package server

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

const (
	// claimLease is how long a server keeps its promise not to help another claimant.
	claimLease = 10 * time.Second
	// claimUse is how long after its first question a claimant may still bootstrap: well within every lease it was given.
	claimUse = 4 * time.Second
	// claimTimeout bounds one question.
	claimTimeout = 2 * time.Second
	// bootstrapRetry is the pause between attempts when nothing changed in membership.
	bootstrapRetry = time.Second
)

// bootstrapClaim asks a server to promise that it has no configuration and will back no other claimant.
type bootstrapClaim struct {
	By     structs.NodeID
	Expect int
}

// bootstrapPromise answers a claim.
type bootstrapPromise struct {
	Granted          bool
	HasConfiguration bool
	Why              string
}

// claimBook is one server's memory of whom it promised itself to, and of the cluster it belongs to. It
// outlives the process, or a server that restarts within a lease could promise itself twice. One lock
// holds both: a server must not give itself to a cluster and to one that is being born.
type claimBook struct {
	// stable keeps the promise; nil = in memory only.
	stable raft.StableStore
	// file keeps the cluster; "" = in memory only.
	file string

	// mu protects the following.
	mu    sync.Mutex
	by    structs.NodeID
	until time.Time
	read  bool // the promise in stable was read
	// cluster is the one this server belongs to; "" = none that it knows of.
	cluster structs.ClusterID
}

// storedPromise is the form in the stable store, under promiseKey, in msgpack.
type storedPromise struct {
	By    structs.NodeID
	Until int64 // Unix nanoseconds
}

// promiseKey is the promise's key beside Raft's own in the stable store.
const promiseKey = "debros/bootstrap-promise"

// grant promises this server to by, unless another claimant holds a promise. A server that belongs to
// a cluster promises nothing.
func (c *claimBook) grant(by structs.NodeID, now time.Time) (ok bool, holder structs.NodeID, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.loadLocked(); err != nil {
		return false, "", err
	}
	if c.cluster != "" {
		return false, "", fmt.Errorf("it belongs to cluster %s", c.cluster)
	}
	if c.by != by && now.Before(c.until) {
		return false, c.by, nil
	}
	until := now.Add(claimLease)
	if c.stable != nil {
		data, err := structs.Encode(&storedPromise{By: by, Until: until.UnixNano()})
		if err == nil {
			err = c.stable.Set([]byte(promiseKey), data)
		}
		if err != nil {
			return false, "", fmt.Errorf("keep the promise: %w", err)
		}
	}
	c.by, c.until = by, until
	return true, by, nil
}

func (c *claimBook) loadLocked() error {
	if c.read || c.stable == nil {
		return nil
	}
	data, err := c.stable.Get([]byte(promiseKey))
	if err != nil && err.Error() != "not found" { // what Raft itself compares: the stores share no sentinel
		return fmt.Errorf("read the promise: %w", err)
	}
	if len(data) > 0 {
		var p storedPromise
		if err := structs.Decode(data, &p); err != nil {
			return fmt.Errorf("read the promise: %w", err)
		}
		c.by, c.until = p.By, time.Unix(0, p.Until)
	}
	c.read = true
	return nil
}

// claimMethod serves claims of other servers.
func (s *Server) claimMethod() transport.Method {
	m := transport.Unary("Bootstrap.Claim", func(_ context.Context, req *bootstrapClaim, rep *bootstrapPromise) error {
		*rep = s.promise(req)
		return nil
	})
	m.ServersOnly = true
	return m
}

func (s *Server) promise(req *bootstrapClaim) bootstrapPromise {
	if s.belongs() {
		return bootstrapPromise{HasConfiguration: true, Why: "it belongs to a cluster"}
	}
	if req.Expect != s.cfg.BootstrapExpect {
		return bootstrapPromise{Why: fmt.Sprintf("it has bootstrap_expect = %d", s.cfg.BootstrapExpect)}
	}
	ok, holder, err := s.claims.grant(req.By, time.Now())
	if err != nil {
		return bootstrapPromise{Why: err.Error()}
	}
	if !ok {
		return bootstrapPromise{Why: fmt.Sprintf("it is promised to %s", holder)}
	}
	return bootstrapPromise{Granted: true}
}

// hasConfiguration reports whether this server is part of a Raft group, or ever was.
func (s *Server) hasConfiguration() bool {
	return s.raft.LastIndex() > 0 || s.voters() > 0
}

// bootstrap makes the first configuration of a new cluster, once, or finds that there is one.
//
// Only the server with the lowest id among those it sees claims, and it needs the promise of every
// one it sees, at least bootstrap_expect of them. Two claimants with overlapping views share a
// server, which promises itself to one of them only; so two configurations can arise only among
// groups of bootstrap_expect servers that have no server in common.
func (s *Server) bootstrap(ctx context.Context) {
	if s.cfg.BootstrapExpect == 0 || s.cfg.Dev {
		return
	}
	tick := time.NewTicker(bootstrapRetry)
	defer tick.Stop()
	logged := ""
	for !s.hasConfiguration() {
		why := s.tryBootstrap(ctx)
		if why != logged && why != "" {
			s.log.Info("waiting to bootstrap", "reason", why)
			logged = why
		}
		select {
		case <-ctx.Done():
			return
		case <-s.bootstrapCh:
		case <-tick.C:
		}
	}
	s.log.Debug("bootstrap is over: this server has a raft configuration")
}

// tryBootstrap makes one attempt and says why it did not succeed.
func (s *Server) tryBootstrap(ctx context.Context) (why string) {
	servers, why := s.candidates()
	if why != "" {
		return why
	}
	if servers[0].ID != s.cfg.NodeID {
		return fmt.Sprintf("server %s, which has the lowest id, bootstraps", servers[0].Name)
	}
	// A promise keeps a server from joining a cluster that there is, so none is asked for in vain.
	for _, m := range servers {
		st, err := s.statsOf(ctx, m.ID, serverAddress(m))
		switch {
		case err != nil:
			return fmt.Sprintf("server %s does not answer: %v", m.Name, err)
		case st.HasConfiguration && m.ID == s.cfg.NodeID:
			return fmt.Sprintf("this server belongs to cluster %s, whose leader will add it; if that cluster is gone for good, stop this server and remove %s from its data_dir", s.ClusterID(), clusterFile)
		case st.HasConfiguration:
			return belongsAlready(m)
		}
	}
	started := time.Now()
	for _, m := range servers {
		p, err := s.claim(ctx, m)
		switch {
		case err != nil:
			return fmt.Sprintf("server %s does not answer: %v", m.Name, err)
		case p.HasConfiguration:
			return belongsAlready(m)
		case !p.Granted:
			return fmt.Sprintf("server %s does not agree: %s", m.Name, p.Why)
		}
	}
	if time.Since(started) > claimUse {
		return "the servers answered too slowly"
	}
	conf := raft.Configuration{}
	for _, m := range servers {
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(m.ID), Address: raft.ServerAddress(serverAddress(m))})
	}
	if err := s.raft.BootstrapCluster(conf).Error(); err != nil {
		return fmt.Sprintf("bootstrap failed: %v", err)
	}
	s.log.Info("bootstrapped the cluster", "servers", len(servers))
	return ""
}

func belongsAlready(m structs.Member) string {
	return fmt.Sprintf("server %s belongs to a cluster already; its leader will add this server", m.Name)
}

// candidates are the living servers that would form the cluster, by id; why says what is wrong with them.
func (s *Server) candidates() (servers []structs.Member, why string) {
	for _, m := range s.members.Members() {
		if m.Role != structs.RoleServer || m.Status != structs.MemberAlive || m.Datacenter != s.cfg.Datacenter {
			continue
		}
		if m.Expect == 0 {
			continue // it joins the cluster when there is one
		}
		if m.Expect != s.cfg.BootstrapExpect {
			return nil, fmt.Sprintf("server %s has bootstrap_expect = %d, this one %d: set the same on all, or 0 on servers that join later", m.Name, m.Expect, s.cfg.BootstrapExpect)
		}
		servers = append(servers, m)
	}
	if len(servers) < s.cfg.BootstrapExpect {
		return nil, fmt.Sprintf("%d of bootstrap_expect = %d servers are here", len(servers), s.cfg.BootstrapExpect)
	}
	sort.Slice(servers, func(i, j int) bool { return servers[i].ID < servers[j].ID })
	return servers, ""
}

func (s *Server) claim(ctx context.Context, m structs.Member) (bootstrapPromise, error) {
	req := &bootstrapClaim{By: s.cfg.NodeID, Expect: s.cfg.BootstrapExpect}
	if m.ID == s.cfg.NodeID {
		return s.promise(req), nil
	}
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	var p bootstrapPromise
	err := s.pool.Call(ctx, serverAddress(m), "Bootstrap.Claim", req, &p)
	return p, err
}
