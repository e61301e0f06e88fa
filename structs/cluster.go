package structs

// ClusterID names a cluster for ever: a random UUID that its first leader commits and that no later
// leader, restore or recovery changes. It is how two clusters know that they are two when their
// agents have the same cluster_key and meet in one gossip pool. "" means that none was committed yet.
type ClusterID string

// ClusterInfo is what a cluster knows of itself: one replicated row.
type ClusterInfo struct {
	ID          ClusterID
	CreateIndex uint64
	// VerifyIndex is the entry that last had the servers compare their states, VerifyTime its time in Unix
	// nanoseconds; 0 before the first.
	VerifyIndex uint64 `codec:",omitempty"`
	VerifyTime  int64  `codec:",omitempty"`
	// FSMVersion is the highest version that every server of the cluster has been seen to know; 0 = none from FSMVersionOfCluster on.
	// It never falls: servers that know less are not let in any more.
	FSMVersion int `codec:",omitempty"`
}

// ClusterRequest gives the cluster its id (CommandCluster), of which the first one wins, and raises its FSMVersion. No Reply.
type ClusterRequest struct {
	ID         ClusterID
	FSMVersion int `codec:",omitempty"` // only where every server has it, and FSMVersionOfCluster
}

// ConflictKeys implements Conflicter.
func (r *ClusterRequest) ConflictKeys() []string { return []string{"cluster"} }

// Valid reports whether id has the form of a UUID in lower case, which is all that is ever made.
func (id ClusterID) Valid() bool {
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}
