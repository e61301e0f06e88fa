package state

import (
	"maps"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

// Nodes are keyed by name, whatever its case, as clients name them; the id index finds the same
// machine under a new name.
func nodesSchema() *memdb.TableSchema {
	t := table(tableNodes, func(r *structs.Node) []byte {
		if r.Name == "" {
			return nil
		}
		return nodeKey(r.Name)
	})
	secondary(t, indexNodeID, true, func(r *structs.Node) []byte {
		if r.ID == "" {
			return nil
		}
		return []byte(r.ID)
	})
	return t
}

func nodeKey(name string) []byte { return []byte(strings.ToLower(name)) }

func (v view) node(ws memdb.WatchSet, name string) *structs.Node {
	return first[structs.Node](ws, v.tx, tableNodes, indexID, nodeKey(name))
}

func (v view) nodeByID(id structs.NodeID) *structs.Node {
	if id == "" {
		return nil
	}
	return first[structs.Node](nil, v.tx, tableNodes, indexNodeID, []byte(id))
}

// Node writes the nodes table. Membership knows one node per name, so a node that comes with another
// id takes the name's row over, and a node that comes with another name leaves its old one. A node
// that is left, replaced or deleted loses its sessions, one that failed those that depend on its
// health. A request without a name is ignored.
func (t *Txn) Node(r *structs.NodeRequest) {
	switch r.Op {
	case structs.NodeUpsert:
		if r.Node.Name != "" {
			t.upsertNode(r.Node)
		}
	case structs.NodeMeta:
		if row := t.view().node(nil, r.Node.Name); row != nil && row.ID == r.Node.ID {
			changed := *row
			changed.Meta = r.Node.Meta
			if changed.Meta == nil {
				changed.Meta = map[string]string{}
			}
			t.upsertNode(changed)
		}
	case structs.NodeDelete:
		row := t.view().nodeByID(r.Node.ID)
		if r.Node.ID == "" {
			row = t.view().node(nil, r.Node.Name)
		}
		if row != nil {
			t.deleteNode(row)
		}
	}
}

func (t *Txn) upsertNode(n structs.Node) {
	if renamed := t.view().nodeByID(n.ID); renamed != nil && !strings.EqualFold(renamed.Name, n.Name) {
		t.deleteNode(renamed)
	}
	old := t.view().node(nil, n.Name)
	if old != nil && old.ID != n.ID {
		t.deleteNode(old)
		old = nil
	}
	if n.Status != structs.NodeAlive {
		t.destroySessionsOf(n.Name, n.Status == structs.NodeFailed)
	}
	if old != nil {
		if n.Meta == nil {
			n.Meta = old.Meta
		}
		n.CreateIndex, n.ModifyIndex = old.CreateIndex, old.ModifyIndex
		if sameNode(old, &n) {
			return
		}
	} else {
		n.CreateIndex = t.index
	}
	n.ModifyIndex = t.index
	replace(t, tableNodes, old, &n)
	t.touch(tableNodes, "")
}

func (t *Txn) deleteNode(row *structs.Node) {
	t.destroySessionsOf(row.Name, false)
	replace(t, tableNodes, row, nil)
	t.touch(tableNodes, "")
}

// sameNode compares everything but the indexes.
func sameNode(a, b *structs.Node) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Address == b.Address && a.Datacenter == b.Datacenter &&
		a.Role == b.Role && a.Status == b.Status && a.Version == b.Version &&
		maps.Equal(a.Meta, b.Meta) && maps.Equal(a.Ports, b.Ports)
}

// NodeGet returns a node by name in any case, nil when there is none; the index is its ModifyIndex,
// or the table's when it is missing.
func (s *Store) NodeGet(ws memdb.WatchSet, name string) (uint64, *structs.Node) {
	v := s.view(ws)
	if n := v.node(ws, name); n != nil {
		return n.ModifyIndex, n
	}
	return v.tableIndex(tableNodes, ""), nil
}

// NodeList returns all nodes by name.
func (s *Store) NodeList(ws memdb.WatchSet) (uint64, []*structs.Node) {
	v := s.view(ws)
	var list []*structs.Node
	for n := range scan[structs.Node](ws, v.tx, tableNodes, indexID, nil) {
		list = append(list, n)
	}
	return v.tableIndex(tableNodes, ""), list
}
