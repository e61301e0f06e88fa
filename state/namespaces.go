package state

import (
	"maps"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

func namespacesSchema() *memdb.TableSchema {
	return table(tableNamespaces, func(r *structs.NamespaceInfo) []byte {
		if r.Name == "" {
			return nil
		}
		return []byte(r.Name)
	})
}

// insertDefaultNamespace makes the namespace that every store has.
func insertDefaultNamespace(tx *memdb.Txn) {
	must(tx.Insert(tableNamespaces, &structs.NamespaceInfo{
		Name: structs.DefaultNamespace, CreateIndex: 1, ModifyIndex: 1,
	}))
	for _, table := range []string{tableKV, tableSessions} {
		if (view{tx}).indexRow(table, structs.DefaultNamespace) == 0 {
			must(tx.Insert(tableIndex, &TableIndex{Table: table, Namespace: structs.DefaultNamespace, Index: 1}))
		}
	}
}

func (v view) namespace(ws memdb.WatchSet, name structs.Namespace) *structs.NamespaceInfo {
	return first[structs.NamespaceInfo](ws, v.tx, tableNamespaces, indexID, []byte(name))
}

// needNamespace refuses a write into a namespace that does not exist.
func (t *Txn) needNamespace(ns structs.Namespace) *structs.Error {
	if t.view().namespace(nil, ns) != nil {
		return nil
	}
	return structs.Errorf(structs.KindNotFound, "namespace %q does not exist", ns).
		WithHint("create it first, or name another one")
}

// Namespace creates, changes or deletes a namespace. Errors: KindInvalid for a name that cannot be
// one and for deleting the default one, KindConflict for creating one that exists, KindNotFound for
// deleting one that does not.
func (t *Txn) Namespace(r *structs.NamespaceRequest) (*structs.NamespaceReply, *structs.Error) {
	name := r.Namespace.Name
	if !structs.ValidNamespace(name) {
		return nil, structs.Errorf(structs.KindInvalid, "invalid namespace name %q", name).
			WithHint("1 to 63 of a-z, 0-9 and -, not beginning with -")
	}
	old := t.view().namespace(nil, name)
	switch r.Op {
	case structs.NamespaceCreate:
		if old != nil {
			return nil, structs.Errorf(structs.KindConflict, "namespace %q already exists", name)
		}
	case structs.NamespaceUpsert:
	case structs.NamespaceDelete:
		return t.deleteNamespace(name, old)
	default:
		return nil, structs.Errorf(structs.KindInvalid, "unknown namespace operation %q", r.Op)
	}
	return t.namespaceReply(t.upsertNamespace(old, r.Namespace)), nil
}

func (t *Txn) upsertNamespace(old *structs.NamespaceInfo, n structs.NamespaceInfo) structs.NamespaceInfo {
	if old != nil {
		if old.Description == n.Description && maps.Equal(old.Meta, n.Meta) && old.BytesMax == n.BytesMax && old.DatabasesMax == n.DatabasesMax {
			return *old
		}
		n.CreateIndex = old.CreateIndex
	} else {
		n.CreateIndex = t.index
		t.touch(tableKV, n.Name) // its indexes begin above all that an earlier one of this name had
		t.touch(tableSessions, n.Name)
		t.touch(tableDatabases, n.Name)
	}
	n.ModifyIndex = t.index
	replace(t, tableNamespaces, old, &n)
	t.touch(tableNamespaces, "")
	return n
}

func (t *Txn) deleteNamespace(name structs.Namespace, old *structs.NamespaceInfo) (*structs.NamespaceReply, *structs.Error) {
	if name == structs.DefaultNamespace {
		return nil, structs.Errorf(structs.KindInvalid, "the namespace %q cannot be deleted", name)
	}
	if old == nil {
		return nil, structs.Errorf(structs.KindNotFound, "namespace %q does not exist", name)
	}
	within := joinKey(string(name), "")
	for row := range scan[structs.KVPair](nil, t.tx, tableKV, indexID, within) {
		t.putKV(row, nil)
	}
	deleteBelow[Tombstone](t, tableTombstones, within)
	deleteBelow[LockDelay](t, tableLockDelays, within)
	deleteBelow[structs.Session](t, tableSessions, within)
	for row := range scan[structs.SQLDatabase](nil, t.tx, tableDatabases, indexID, within) {
		t.dropDatabase(row)
	}
	t.deleteStreams(name)
	deleteBelow[structs.StoredTxn](t, tableTxnReplies, within)
	for _, table := range []string{tableKV, tableSessions, tableDatabases, tableStreams, tableConsumers, indexKVReaped} {
		if row := first[TableIndex](nil, t.tx, tableIndex, indexID, tableIndexKey(table, name)); row != nil {
			replace(t, tableIndex, row, nil)
		}
		delete(t.touched, touchedTable{table, name})
	}
	t.touch(tableKV, "")
	t.touch(tableSessions, "")
	t.touch(tableDatabases, "")
	replace(t, tableNamespaces, old, nil)
	t.touch(tableNamespaces, "")
	return t.namespaceReply(*old), nil
}

func deleteBelow[T any](t *Txn, table string, prefix []byte) {
	for row := range scan[T](nil, t.tx, table, indexID, prefix) {
		replace(t, table, row, nil)
	}
}

func (t *Txn) namespaceReply(n structs.NamespaceInfo) *structs.NamespaceReply {
	reply := &structs.NamespaceReply{Namespace: n}
	reply.Index = t.index
	return reply
}

// NamespaceGet returns a namespace, nil when it does not exist; the index is its ModifyIndex, or the
// table's when it is missing.
func (s *Store) NamespaceGet(ws memdb.WatchSet, name structs.Namespace) (uint64, *structs.NamespaceInfo) {
	v := s.view(ws)
	n := v.namespace(ws, name)
	if n != nil {
		return n.ModifyIndex, n
	}
	return v.tableIndex(tableNamespaces, ""), nil
}

// NamespaceList returns all namespaces by name.
func (s *Store) NamespaceList(ws memdb.WatchSet) (uint64, []*structs.NamespaceInfo) {
	v := s.view(ws)
	var list []*structs.NamespaceInfo
	for n := range scan[structs.NamespaceInfo](ws, v.tx, tableNamespaces, indexID, nil) {
		list = append(list, n)
	}
	return v.tableIndex(tableNamespaces, ""), list
}
