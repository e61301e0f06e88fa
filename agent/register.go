package agent

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/debros/debros/structs"
)

const (
	// registerInterval is how often a node tells the servers its meta again.
	registerInterval = time.Minute
	// edgeInterval is how often an edge agent does: nothing else tells that it lives.
	edgeInterval = 5 * time.Second
	// registerRetry is the pause after a failure: the cluster may have no leader yet.
	registerRetry = time.Second
	// registerTimeout bounds one attempt.
	registerTimeout = 10 * time.Second
)

// registerNode keeps what gossip cannot carry (node meta, maintenance) in the nodes table: 512
// bytes of tags have no room for it.
func (a *Agent) registerNode() {
	interval := registerInterval
	if a.isEdge() {
		interval = edgeInterval
	}
	told := ""
	for {
		pause := interval
		err := a.registerOnce()
		switch {
		case err == nil:
			told = ""
		case a.isEdge() && errors.Is(err, structs.ErrConflict):
			a.stopSoon(err) // as on the LAN, where the one that came last stops
			return
		case errors.Is(err, structs.ErrConflict):
			if told != err.Error() { // it is tried again until the name is free
				told = err.Error()
				a.log.Error("this node's name is taken", "error", err, "hint", "give this agent a node_name of its own")
			}
			pause = registerRetry
		default:
			a.log.Debug("node not registered yet", "error", err)
			pause = registerRetry
		}
		select {
		case <-time.After(pause):
		case <-a.registerCh:
		case <-a.ctx.Done():
			return
		}
	}
}

func (a *Agent) registerOnce() error {
	if a.leavesEdge.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(a.ctx, registerTimeout)
	defer cancel()
	cfg := a.Config()
	req := &structs.NodeRegisterRequest{Name: cfg.NodeName, ID: a.node.ID(), Meta: a.meta()}
	if a.isEdge() {
		a.describeEdge(req)
	}
	var reply structs.WriteReply
	return a.cluster.RPC(ctx, "Catalog.Register", req, &reply)
}

// meta is the node's own pairs and, in maintenance, the reason.
func (a *Agent) meta() map[string]string {
	meta := maps.Clone(a.Config().NodeMeta)
	if reason := a.maintenance.Load(); reason != nil {
		if meta == nil {
			meta = map[string]string{}
		}
		meta[structs.MetaMaintenance] = *reason
	}
	return meta
}
