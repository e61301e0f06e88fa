package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

func clusterSchema() *memdb.TableSchema {
	return table(tableCluster, func(*structs.ClusterInfo) []byte { return onlyRow() })
}

func (v view) cluster(ws memdb.WatchSet) *structs.ClusterInfo {
	return first[structs.ClusterInfo](ws, v.tx, tableCluster, indexID, onlyRow())
}

// Cluster gives the cluster its id, and raises the version that its servers know. The first id wins for ever; a request without
// a valid one is ignored.
func (t *Txn) Cluster(r *structs.ClusterRequest) {
	if !r.ID.Valid() {
		return
	}
	old := t.view().cluster(nil)
	row := structs.ClusterInfo{ID: r.ID, CreateIndex: t.index}
	if old != nil {
		if r.FSMVersion <= old.FSMVersion {
			return
		}
		row = *old
	}
	row.FSMVersion = r.FSMVersion
	replace(t, tableCluster, old, &row)
	t.touch(tableCluster, "")
}

// Verify notes that this entry has the servers compare their states. That is all that it changes: a server that knows no
// such entry must not be let in any more, and a new leader must know when it was done last.
func (t *Txn) Verify() {
	old := t.view().cluster(nil)
	if old == nil {
		return // a cluster without an id proposes none
	}
	row := *old
	row.VerifyIndex, row.VerifyTime = t.index, t.now
	replace(t, tableCluster, old, &row)
	t.touch(tableCluster, "")
}

// FSMVersion is the version that every server of the cluster knows, 0 where that is below structs.FSMVersionOfCluster.
func (s *Store) FSMVersion() int {
	if row := s.view(nil).cluster(nil); row != nil {
		return row.FSMVersion
	}
	return 0
}

// Cluster returns what the cluster knows of itself, nil when it has no id yet.
func (s *Store) Cluster(ws memdb.WatchSet) (uint64, *structs.ClusterInfo) {
	v := s.view(ws)
	return v.tableIndex(tableCluster, ""), v.cluster(ws)
}
