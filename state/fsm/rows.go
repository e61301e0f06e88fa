package fsm

import (
	"errors"
	"fmt"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// decodeRow also makes sure that a row has its key, without which the store refuses it: a stream must
// not turn out bad after its restore was agreed on.
func decodeRow(t recordType, payload []byte) (any, error) {
	switch t {
	case recordHeader:
		return decode(payload, func(h *header) bool { return h.Index <= h.Applied })
	case recordNamespace:
		return decode(payload, func(r *structs.NamespaceInfo) bool { return structs.ValidNamespace(r.Name) })
	case recordNode:
		return decode(payload, func(r *structs.Node) bool { return r.Name != "" })
	case recordSession:
		return decode(payload, func(r *structs.Session) bool { return r.Namespace != "" && r.ID != "" })
	case recordKV:
		return decode(payload, func(r *structs.KVPair) bool { return r.Namespace != "" && r.Key != "" })
	case recordTombstone:
		return decode(payload, func(r *state.Tombstone) bool { return r.Namespace != "" })
	case recordLockDelay:
		return decode(payload, func(r *state.LockDelay) bool { return r.Namespace != "" })
	case recordTableIndex:
		return decode(payload, func(r *state.TableIndex) bool { return r.Table != "" })
	case recordAutopilot:
		return decode(payload, func(*structs.AutopilotConfig) bool { return true })
	case recordCluster:
		return decode(payload, func(r *structs.ClusterInfo) bool { return r.ID.Valid() })
	case recordStream:
		return decode(payload, func(r *structs.Stream) bool {
			return structs.ValidNamespace(r.Namespace) && structs.ValidTopic(r.Name) && r.FirstSeq >= 1 && r.FirstSeq <= r.LastSeq+1
		})
	case recordMessage:
		return decode(payload, func(r *structs.StreamMessage) bool { return r.Namespace != "" && r.Stream != "" && r.Seq > 0 })
	case recordPublication:
		return decode(payload, func(r *structs.StreamPublication) bool {
			return r.Namespace != "" && r.Stream != "" && r.ID != "" && r.Seq > 0
		})
	case recordConsumer:
		return decode(payload, func(r *structs.StreamConsumer) bool { return r.Namespace != "" && r.Stream != "" && r.Name != "" })
	case recordTxnReply:
		return decode(payload, func(r *structs.StoredTxn) bool { return r.Namespace != "" && r.RequestID != "" && r.Seq > 0 })
	case recordDatabaseChunk, recordDatabaseCopy:
		return nil, errors.New("a piece of a database belongs to none")
	case recordDatabase:
		return decode(payload, func(r *structs.SQLDatabase) bool {
			if r.Upload != nil {
				return structs.ValidNamespace(r.Namespace) && structs.ValidUpload(r.Name) && r.Upload.SizeBytes >= 0
			}
			return structs.ValidNamespace(r.Namespace) && structs.ValidDatabase(r.Name)
		})
	}
	return nil, fmt.Errorf("unknown record type %d: it was written by a newer build", t)
}

func decode[T any](payload []byte, valid func(*T) bool) (any, error) {
	row := new(T)
	if err := structs.Decode(payload, row); err != nil {
		return nil, err
	}
	if !valid(row) {
		return nil, fmt.Errorf("a %T lacks what it must have", row)
	}
	return row, nil
}

// versionOf is the lowest structs.FSMVersion that can hold a row; 0 = any. That of the cluster is not asked: a restore
// keeps the cluster's own.
func versionOf(row any) int {
	switch r := row.(type) {
	case *structs.StoredTxn:
		return structs.FSMVersionOfCluster
	case *structs.Stream, *structs.StreamMessage, *structs.StreamPublication, *structs.StreamConsumer:
		return structs.FSMVersionStreams
	case *structs.NamespaceInfo:
		if r.BytesMax > 0 || r.DatabasesMax > 0 {
			return structs.FSMVersionQuota
		}
	case *structs.SQLDatabase:
		switch {
		case r.ChangesBytes > 0:
			return structs.FSMVersionChanges
		case r.Upload != nil || r.FileIndex > 0:
			return structs.FSMVersionUpload
		}
		return structs.FSMVersionSQL
	}
	return 0
}
