package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-memdb"
	"github.com/hashicorp/raft"

	"github.com/debros/debros/internal/atomicfile"
	"github.com/debros/debros/rpc"
	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

// clusterFile, in the data directory, is the id of the cluster that this server belongs to. The state
// has it as well, but a server that has just started shows no state before it has a quorum, and one
// that was promised to a cluster has none yet.
const clusterFile = "cluster.id"

// clusterFileBytesMax is far above what is written.
const clusterFileBytesMax = 256

// clusterFileRetry is the pause after the file could not be written.
const clusterFileRetry = 10 * time.Second

// clusterClaim asks a server that has not joined yet to belong to the leader's cluster.
type clusterClaim struct {
	Cluster structs.ClusterID
	By      structs.NodeID // the leader
}

// clusterAnswer says whose the server is.
type clusterAnswer struct {
	Cluster structs.ClusterID // from now on, or since long ago; "" = it does not belong to the one that asks
	// NotYet: the question may be answered otherwise in some seconds.
	NotYet bool
	Why    string // for people; with Cluster ""
}

// openCluster reads which cluster this server belongs to.
func (c *claimBook) openCluster(dir string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if dir == "" {
		return nil
	}
	c.file = filepath.Join(dir, clusterFile)
	f, err := os.Open(c.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the cluster id: %w", err)
	}
	defer f.Close()
	data := make([]byte, clusterFileBytesMax)
	n, _ := f.Read(data) // an error shows as an id that is not valid
	id := structs.ClusterID(strings.TrimSpace(string(data[:n])))
	if !id.Valid() {
		return fmt.Errorf("%s holds no cluster id: remove it if raft/ beside it is whole, or the server was never in a cluster", c.file)
	}
	c.cluster = id
	return nil
}

// belongsTo is the cluster that this server remembers; "" for none.
func (c *claimBook) belongsTo() structs.ClusterID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cluster
}

// adopt makes this server belong to a cluster, unless it belongs to one, which is what it answers
// then, or is promised to somebody who bootstraps. A bootstrapped server's promise is kept already.
func (c *claimBook) adopt(id structs.ClusterID, bootstrapped bool, now time.Time) (clusterAnswer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cluster == "" {
		if err := c.loadLocked(); err != nil {
			return clusterAnswer{}, err
		}
		if !bootstrapped && now.Before(c.until) {
			return clusterAnswer{NotYet: true, Why: fmt.Sprintf("it is promised to %s, which may bootstrap with it", c.by)}, nil
		}
		if err := c.writeLocked(id); err != nil {
			return clusterAnswer{}, err
		}
	}
	return clusterAnswer{Cluster: c.cluster}, nil
}

// remember notes what the state says, which is always right; before is what was remembered.
func (c *claimBook) remember(id structs.ClusterID) (before structs.ClusterID, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before = c.cluster
	if before == id {
		return before, nil
	}
	return before, c.writeLocked(id)
}

func (c *claimBook) writeLocked(id structs.ClusterID) error {
	if c.file != "" {
		if err := atomicfile.Write(c.file, []byte(id+"\n"), 0o600); err != nil {
			return fmt.Errorf("keep the cluster id: %w", err)
		}
	}
	c.cluster = id
	return nil
}

// ClusterID is the cluster that this server belongs to: what its state says, else what it remembers;
// "" while it belongs to none, or to one without an id.
func (s *Server) ClusterID() structs.ClusterID {
	if _, c := s.store.Cluster(nil); c != nil {
		return c.ID
	}
	return s.claims.belongsTo()
}

// belongs reports whether this server is or was a server of a cluster, or was promised to one.
func (s *Server) belongs() bool { return s.hasConfiguration() || s.claims.belongsTo() != "" }

// followClusterID keeps clusterFile true to the state until ctx ends.
func (s *Server) followClusterID(ctx context.Context) {
	for ctx.Err() == nil {
		ws := memdb.NewWatchSet()
		_, row := s.store.Cluster(ws)
		if row == nil || s.rememberCluster(row.ID) {
			_ = ws.WatchCtx(ctx) // the loop looks at ctx
			continue
		}
		select {
		case <-time.After(clusterFileRetry):
		case <-ctx.Done():
		}
	}
}

// rememberCluster reports whether clusterFile says what the state says.
func (s *Server) rememberCluster(id structs.ClusterID) bool {
	before, err := s.claims.remember(id)
	switch {
	case err != nil:
		s.log.Warn("the cluster id was not written; it is tried again", "error", err)
	case before == "":
		s.log.Info("this server belongs to a cluster", "cluster_id", id)
	case before != id:
		s.log.Warn("this server belonged to another cluster", "cluster_id", id, "before", before)
	}
	return err == nil
}

// ensureCluster commits an id for a cluster that has none: a new one, or one from before clusters
// had ids, and the FSM version that all servers know. Servers that do not know a command would stop at it, or take it for
// less than it is, so both wait for the last of them to be upgraded, which membership tells.
func (s *Server) ensureCluster(ctx context.Context) error {
	if _, c := s.store.Cluster(nil); c != nil {
		return s.raiseFSMVersion(ctx, c)
	}
	old, err := s.olderThan(structs.FSMVersionCluster)
	if err != nil {
		return err
	}
	if old != "" {
		s.log.Debug("the cluster gets no id before all of its servers know of ids", "id", old)
		return nil
	}
	id := s.claims.belongsTo()
	if id == "" {
		id = structs.ClusterID(rpc.NewUUID())
	}
	version, err := s.commonVersion()
	if err != nil {
		return err
	}
	if _, _, err := s.apply(ctx, structs.CommandCluster, &structs.ClusterRequest{ID: id, FSMVersion: version}); err != nil {
		return fmt.Errorf("give the cluster an id: %w", err)
	}
	return nil
}

// clusterClaimMethod serves claims of leaders.
func (s *Server) clusterClaimMethod() transport.Method {
	m := transport.Unary("Cluster.Claim", func(_ context.Context, req *clusterClaim, rep *clusterAnswer) (err error) {
		*rep, err = s.answerClaim(req)
		return err
	})
	m.ServersOnly = true
	return m
}

// answerClaim says whose this server is; a server without a past is the first claimant's from now on.
func (s *Server) answerClaim(req *clusterClaim) (clusterAnswer, error) {
	if !req.Cluster.Valid() {
		return clusterAnswer{}, structs.Errorf(structs.KindInvalid, "malformed cluster id %.64q", string(req.Cluster))
	}
	if id := s.ClusterID(); id != "" {
		return clusterAnswer{Cluster: id}, nil
	}
	// A cluster that is being born, or from before clusters had ids: it is the claimant's if the
	// claimant is one of its servers.
	bootstrapped := s.hasConfiguration()
	if bootstrapped && !s.configured(req.By) {
		return clusterAnswer{Why: "it has the raft log of a cluster without an id, in which this leader is no server"}, nil
	}
	return s.claims.adopt(req.Cluster, bootstrapped, time.Now())
}

// configured reports whether the Raft configuration has the server.
func (s *Server) configured(id structs.NodeID) bool {
	conf, err := s.configuration()
	if err != nil {
		return false
	}
	for _, srv := range conf.Servers {
		if srv.ID == raft.ServerID(id) {
			return true
		}
	}
	return false
}
