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

// Cluster gives the cluster its id. The first id wins for ever; a request without a valid one is ignored.
func (t *Txn) Cluster(r *structs.ClusterRequest) {
	if !r.ID.Valid() || t.view().cluster(nil) != nil {
		return
	}
	replace(t, tableCluster, nil, &structs.ClusterInfo{ID: r.ID, CreateIndex: t.index})
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

// Cluster returns what the cluster knows of itself, nil when it has no id yet.
func (s *Store) Cluster(ws memdb.WatchSet) (uint64, *structs.ClusterInfo) {
	v := s.view(ws)
	return v.tableIndex(tableCluster, ""), v.cluster(ws)
}
