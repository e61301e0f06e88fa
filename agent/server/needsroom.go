package server

import (
	"slices"

	"github.com/debros/debros/internal/sqltext"
	"github.com/debros/debros/structs"
)

// needsRoom reports whether a command of a user may make the state larger. What ends, frees or runs the cluster does not: it is how
// an operator gets out of full disks. An entry that deletes is written to the log like any other; the bound is there for that too.
func needsRoom(t structs.CommandType, body any) bool {
	switch r := body.(type) {
	case *structs.KVRequest:
		return kvNeedsRoom(r.Op)
	case *structs.TxnRequest:
		return slices.ContainsFunc(r.Ops, func(op structs.TxnOp) bool {
			return op.KV != nil && kvNeedsRoom(op.KV.Verb) || op.SQL != nil && sqlNeedsRoom(op.SQL.Statements) || op.Publish != nil
		})
	case *structs.SessionRequest:
		return r.Op != structs.SessionDestroy
	case *structs.NamespaceRequest:
		return r.Op != structs.NamespaceDelete
	case *structs.SQLRequest:
		return sqlNeedsRoom(r.Statements)
	case *structs.SQLDatabaseRequest:
		stops := r.Op == structs.SQLDatabaseSetChanges && r.Database.ChangesBytes == 0
		return r.Op != structs.SQLDatabaseDrop && !stops
	case *structs.StreamRequest:
		return r.Op == structs.StreamCreate || r.Op == structs.StreamConsumerSet
	case *structs.StreamPublishRequest:
		return true
	case *structs.SQLUploadRequest:
		return r.Op != structs.SQLUploadDrop
	}
	return t == structs.CommandSQL || t == structs.CommandSQLUpload || t == structs.CommandKV || t == structs.CommandTxn
}

// kvNeedsRoom: a lock is given back even with a value, or whoever holds it could not end its work.
func kvNeedsRoom(op structs.KVOp) bool {
	return op == structs.KVSet || op == structs.KVCAS || op == structs.KVLock
}

// sqlNeedsRoom looks at first words only. What a trigger of a DELETE inserts passes; a WITH before a DELETE does not.
func sqlNeedsRoom(statements []structs.SQLStatement) bool {
	for _, st := range statements {
		complete, rest := sqltext.Split(st.SQL)
		words := []string{sqltext.FirstWord(rest)}
		for _, one := range complete {
			words = append(words, sqltext.FirstWord(one.Text))
		}
		for _, word := range words {
			switch word {
			case "", "delete", "drop", "select", "explain":
			default:
				return true
			}
		}
	}
	return false
}
