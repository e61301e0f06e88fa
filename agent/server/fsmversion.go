package server

import "github.com/debros/debros/structs"

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

// fsmNeeded is the version that a server must know to hold the present state.
func (s *Server) fsmNeeded() int {
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
// knows it, and admit keeps others out.
func (s *Server) mayPropose(t structs.CommandType, body any) error {
	version, what := structs.FSMVersionSQL, "SQL"
	if t == structs.CommandSQLUpload {
		version, what = structs.FSMVersionUpload, "restoring of database files"
	}
	if !needsSQL(t, body) || s.fsmNeeded() >= version {
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

// needsSQL reports whether a command is one that servers below FSMVersionSQL do not know. Of a transaction they would
// take the SQL for an operation that is missing, and go on with other tables than the rest.
func needsSQL(t structs.CommandType, body any) bool {
	switch t {
	case structs.CommandSQL, structs.CommandSQLDatabase, structs.CommandSQLUpload:
		return true
	case structs.CommandTxn:
		r, ok := body.(*structs.TxnRequest)
		return !ok || r.HasSQL()
	}
	return false
}
