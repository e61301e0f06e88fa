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
	if s.store.HasDatabases() {
		return structs.FSMVersionSQL
	}
	return structs.FSMVersionCluster
}

// mayPropose refuses commands that a server of the cluster does not know. Once a database exists every server knows
// SQL, and admit keeps others out.
func (s *Server) mayPropose(t structs.CommandType, body any) error {
	if !needsSQL(t, body) || s.store.HasDatabases() {
		return nil
	}
	old, err := s.olderThan(structs.FSMVersionSQL)
	if err != nil {
		return err
	}
	if old != "" {
		return structs.Errorf(structs.KindUnsupported, "server %s has a build that knows no SQL, or is not seen", old).
			WithHint("upgrade every server, or take the lost one out with `debros operator raft remove-peer`")
	}
	return nil
}

// needsSQL reports whether a command is one that servers below FSMVersionSQL do not know. Of a transaction they would
// take the SQL for an operation that is missing, and go on with other tables than the rest.
func needsSQL(t structs.CommandType, body any) bool {
	switch t {
	case structs.CommandSQL, structs.CommandSQLDatabase:
		return true
	case structs.CommandTxn:
		r, ok := body.(*structs.TxnRequest)
		return !ok || r.HasSQL()
	}
	return false
}
