package agent

import (
	"context"
	"maps"
	"time"

	"github.com/debros/debros/structs"
)

const (
	// registerInterval is how often a node tells the servers its meta again.
	registerInterval = time.Minute
	// registerRetry is the pause after a failure: the cluster may have no leader yet.
	registerRetry = time.Second
	// registerTimeout bounds one attempt.
	registerTimeout = 10 * time.Second
)

// registerNode keeps what gossip cannot carry (node meta, maintenance) in the nodes table: 512
// bytes of tags have no room for it.
func (a *Agent) registerNode() {
	for {
		pause := registerInterval
		if err := a.registerOnce(); err != nil {
			a.log.Debug("node meta not registered yet", "error", err)
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
	ctx, cancel := context.WithTimeout(a.ctx, registerTimeout)
	defer cancel()
	cfg := a.Config()
	req := &structs.NodeRegisterRequest{Name: cfg.NodeName, ID: a.node.ID(), Meta: a.meta()}
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
