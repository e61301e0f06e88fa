package server

import (
	"context"
	"fmt"

	"github.com/debros/debros/structs"
)

// olderThan names a server of the Raft configuration that does not know an FSM version, or of which membership does
// not tell; "" when all know it. A server that met a command it does not know would have to stop.
func (s *Server) olderThan(version int) (structs.NodeID, error) {
	conf, err := s.configuration()
	if err != nil {
		return "", err
	}
	for _, srv := range conf.Servers {
		if id := structs.NodeID(srv.ID); id != s.cfg.NodeID {
			if m, ok := s.member(id); !ok || m.FSM < version {
				return id, nil
			}
		}
	}
	return "", nil
}

// commonVersion is the version that a cluster may be raised to: the lowest that a server of the Raft configuration knows. 0
// while membership does not tell of all, or one is of a build before such versions.
func (s *Server) commonVersion() (int, error) {
	conf, err := s.configuration()
	if err != nil {
		return 0, err
	}
	version := structs.FSMVersion
	for _, srv := range conf.Servers {
		if id := structs.NodeID(srv.ID); id != s.cfg.NodeID {
			m, _ := s.member(id)
			version = min(version, m.FSM)
		}
	}
	if version < structs.FSMVersionOfCluster {
		return 0, nil
	}
	return version, nil
}

// raiseFSMVersion notes which version every server knows: from then on the leader may use all of it, and a server
// that knows less is not let in, whatever is deleted later.
func (s *Server) raiseFSMVersion(ctx context.Context, c *structs.ClusterInfo) error {
	if c.FSMVersion >= structs.FSMVersion {
		return nil
	}
	version, err := s.commonVersion()
	if err != nil || version <= c.FSMVersion {
		return err
	}
	if _, _, err := s.apply(ctx, structs.CommandCluster, &structs.ClusterRequest{ID: c.ID, FSMVersion: version}); err != nil {
		return fmt.Errorf("raise the cluster's version: %w", err)
	}
	s.log.Info("servers of older builds are not let in any more", "fsm_version", version)
	return nil
}

const streamsWhat = "streams"

// fsmNeeded is the version that a server must know to hold the present state, or that the cluster was raised to.
func (s *Server) fsmNeeded() int {
	if v := s.store.FSMVersion(); v > 0 {
		return v
	}
	if s.store.HasStreams() {
		return structs.FSMVersionStreams
	}
	if s.store.HasQuotas() {
		return structs.FSMVersionQuota
	}
	if s.store.KeepsChanges() {
		return structs.FSMVersionChanges
	}
	if _, c := s.store.Cluster(nil); c != nil && c.VerifyIndex > 0 {
		return structs.FSMVersionVerify
	}
	switch {
	case s.store.HasUploads():
		return structs.FSMVersionUpload
	case s.store.HasDatabases():
		return structs.FSMVersionSQL
	}
	return structs.FSMVersionCluster
}

// mayPropose refuses commands that a server of the cluster does not know. Once the state needs a version every server
// has it, and admit keeps others out.
func (s *Server) mayPropose(t structs.CommandType, body any) error {
	version, what := versionFor(t, body)
	switch {
	case version == 0, version <= s.store.FSMVersion(), version <= structs.FSMVersionSQL && s.store.HasDatabases():
		return nil
	case version > structs.FSMVersionSQL && s.fsmNeeded() >= version: // it looks through all databases
		return nil
	}
	old, err := s.olderThan(version)
	if err != nil {
		return err
	}
	if old != "" {
		return structs.Errorf(structs.KindUnsupported, "server %s has a build that knows no %s, or is not seen", old, what).
			WithHint("upgrade every server, or take the lost one out with `debros operator raft remove-peer`")
	}
	return nil
}

// mayRestore refuses a state that a server of the cluster cannot hold: it would stop when it receives it.
func (s *Server) mayRestore(version int) error {
	old, err := s.olderThan(version)
	if err != nil || old == "" {
		return err
	}
	return structs.Errorf(structs.KindUnsupported, "server %s has a build that cannot hold what is in the snapshot, or is not seen", old).
		WithHint("nothing was changed; upgrade every server, or take the lost one out with `debros operator raft remove-peer`")
}

// versionFor is the FSM version that knows a command, 0 when every server does, and what is new in it. Of a
// transaction older servers would take the SQL for an operation that is missing, and go on with other tables than the rest.
func versionFor(t structs.CommandType, body any) (version int, what string) {
	switch t {
	case structs.CommandNamespace:
		r, ok := body.(*structs.NamespaceRequest)
		if !ok || r.Namespace.BytesMax != 0 || r.Namespace.DatabasesMax != 0 {
			return structs.FSMVersionQuota, "quotas"
		}
	case structs.CommandSQL:
		return structs.FSMVersionSQL, "SQL"
	case structs.CommandSQLUpload:
		return structs.FSMVersionUpload, "restoring of database files"
	case structs.CommandSQLDatabase:
		r, ok := body.(*structs.SQLDatabaseRequest)
		if !ok || r.Op == structs.SQLDatabaseSetChanges || r.Database.ChangesBytes != 0 {
			return structs.FSMVersionChanges, "feed of changes"
		}
		return structs.FSMVersionSQL, "SQL"
	case structs.CommandTxn:
		r, ok := body.(*structs.TxnRequest)
		switch {
		case !ok || r.RequestID != "":
			return structs.FSMVersionOfCluster, "request_id of transactions"
		case r.Publishes():
			return structs.FSMVersionStreams, streamsWhat
		case r.HasSQL():
			return structs.FSMVersionSQL, "SQL"
		}
	case structs.CommandStream, structs.CommandPublish:
		return structs.FSMVersionStreams, streamsWhat
	}
	return 0, ""
}
