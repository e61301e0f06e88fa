package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

func autopilotSchema() *memdb.TableSchema {
	return table(tableAutopilot, func(*structs.AutopilotConfig) []byte { return onlyRow() })
}

func (v view) autopilot(ws memdb.WatchSet) *structs.AutopilotConfig {
	return first[structs.AutopilotConfig](ws, v.tx, tableAutopilot, indexID, onlyRow())
}

// Autopilot stores the autopilot configuration. A configuration equal to the stored one changes
// nothing. The reply's Config is the one in force afterwards.
func (t *Txn) Autopilot(r *structs.AutopilotRequest) *structs.AutopilotReply {
	old := t.view().autopilot(nil)
	var current structs.AutopilotConfig
	if old != nil {
		current = *old
	}
	reply := &structs.AutopilotReply{OK: true, Config: current}
	reply.Index = t.index
	if r.CAS && r.Config.ModifyIndex != current.ModifyIndex {
		reply.OK = false
		return reply
	}
	c := r.Config
	c.CreateIndex, c.ModifyIndex = current.CreateIndex, current.ModifyIndex
	if old != nil && c == current {
		return reply
	}
	if old == nil {
		c.CreateIndex = t.index
	}
	c.ModifyIndex = t.index
	replace(t, tableAutopilot, old, &c)
	t.touch(tableAutopilot, "")
	reply.Config = c
	return reply
}

// Autopilot returns the configuration, nil when none was ever set.
func (s *Store) Autopilot(ws memdb.WatchSet) (uint64, *structs.AutopilotConfig) {
	v := s.view(ws)
	return v.tableIndex(tableAutopilot, ""), v.autopilot(ws)
}
