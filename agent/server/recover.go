package server

import (
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/internal/logging"
	"github.com/debros/debros/structs"
)

// RecoverPeer is one server of the configuration that Recover writes.
type RecoverPeer struct {
	ID      structs.NodeID
	Address string // "host:port" of its server port
	Voter   bool
}

// Recover rewrites the Raft configuration of a stopped server so that the peers given are the
// cluster: the way back after a majority of servers is lost for good. What a majority had
// acknowledged but none of the peers has is lost. Run it with the same peers on each of them, or
// with one peer, and let the others join with empty data directories. The caller holds the lock of
// the data directory.
func Recover(cfg Config, peers []RecoverPeer) error {
	if err := cfg.check(); err != nil {
		return err
	}
	if cfg.DataDir == "" || len(peers) == 0 {
		return fmt.Errorf("recover needs a data directory and at least one peer")
	}
	s, err := New(cfg, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	rc := cfg.raftConfig(nil)
	rc.Logger = logging.HCLog(cfg.Logger, "raft")
	logs, stable, err := s.openStores(rc)
	if err != nil {
		return err
	}
	defer s.logs.Close()
	// The snapshot that Recover writes holds the databases. What is in its own copies may never have been committed, so
	// no later start may use them.
	if err := s.store.OpenDatabases(s.databasesDir(), ""); err != nil {
		return err
	}
	var conf raft.Configuration
	for _, p := range peers {
		suffrage := raft.Voter
		if !p.Voter {
			suffrage = raft.Nonvoter
		}
		conf.Servers = append(conf.Servers, raft.Server{Suffrage: suffrage, ID: raft.ServerID(p.ID), Address: raft.ServerAddress(p.Address)})
	}
	_, trans := raft.NewInmemTransport(raft.ServerAddress(cfg.Address))
	defer trans.Close()
	if err := raft.RecoverCluster(rc, s.guardedFSM(), logs, stable, s.snaps, trans, conf); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	return nil
}
