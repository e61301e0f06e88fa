package fsm

import (
	"bytes"
	"errors"
	"testing"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// FuzzSnapshot: what Verify accepts, Restore accepts, and only that; neither panics.
func FuzzSnapshot(f *testing.F) {
	good := stream(f, sample(f))
	f.Add(good)
	f.Add(stream(f, New(state.New(), nil)))
	f.Add(good[:len(good)-3])
	f.Add([]byte(snapshotMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) { sameVerdict(t, data) })
}

// FuzzSnapshotRow puts the fuzzer's bytes where checksums would keep them from: into one row.
func FuzzSnapshotRow(f *testing.F) {
	for rt, row := range map[recordType]any{
		recordHeader:      &header{Applied: 1},
		recordNamespace:   &structs.NamespaceInfo{Name: "n"},
		recordNode:        &structs.Node{Name: "n", Meta: map[string]string{"a": "b"}},
		recordSession:     &structs.Session{Namespace: "n", ID: "i"},
		recordKV:          &structs.KVPair{Namespace: "n", Key: "k", Value: []byte("v"), ExpiresAt: 1},
		recordTombstone:   &state.Tombstone{Namespace: "n"},
		recordLockDelay:   &state.LockDelay{Namespace: "n", Until: -1},
		recordTableIndex:  &state.TableIndex{Table: "t"},
		recordAutopilot:   &structs.AutopilotConfig{},
		recordCluster:     &structs.ClusterInfo{ID: clusterA},
		recordStream:      &structs.Stream{Namespace: "n", Name: "s", FirstSeq: 1},
		recordMessage:     &structs.StreamMessage{Namespace: "n", Stream: "s", Seq: 1, Topic: "s", Headers: map[string]string{"a": "b"}},
		recordPublication: &structs.StreamPublication{Namespace: "n", Stream: "s", ID: "i", Seq: 1},
		recordConsumer:    &structs.StreamConsumer{Namespace: "n", Stream: "s", Name: "c"},
		recordTxnReply:    &structs.StoredTxn{Namespace: "n", RequestID: "r", Seq: 1, Reply: structs.TxnReply{Results: []structs.TxnResult{{SQL: &structs.TxnSQLResult{}}}}, Databases: []string{"d"}},
		recordDatabase:    &structs.SQLDatabase{Namespace: "n", Name: "d", CreateIndex: 1},
	} {
		payload, err := structs.Encode(row)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(rt), payload)
	}
	f.Fuzz(func(t *testing.T, rt byte, payload []byte) {
		sameVerdict(t, crafted(t, func(rw *recordWriter) {
			if err := errors.Join(rw.row(recordHeader, &header{}), rw.payload(recordType(rt), payload)); err != nil {
				t.Fatal(err)
			}
		}))
	})
}

func sameVerdict(t *testing.T, data []byte) {
	t.Helper()
	_, verr := Verify(bytes.NewReader(data))
	if verr != nil && !errors.Is(verr, ErrSnapshot) {
		t.Fatalf("unmarked error %v", verr)
	}
	fsm := New(newStore(t), nil)
	if rerr := fsm.Restore(nopCloser(data)); (rerr == nil) != (verr == nil) {
		t.Fatalf("Verify: %v, Restore: %v", verr, rerr)
	}
	if verr != nil {
		return
	}
	again := stream(t, fsm) // whatever was accepted can be written, and read again
	if _, err := Verify(bytes.NewReader(again)); err != nil {
		t.Fatal(err)
	}
}
