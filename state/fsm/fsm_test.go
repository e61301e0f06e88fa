package fsm

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

func TestEveryCommandRepliesWithItsType(t *testing.T) {
	ns := structs.WriteOptions{Namespace: structs.DefaultNamespace}
	f := sample(t)
	for i, c := range []struct {
		command structs.Command
		reply   func(any) bool
	}{
		{structs.Command{Type: structs.CommandNone}, isNil},
		{set(t, "k", "v"), is[*structs.KVReply]},
		{command(t, structs.CommandKVExpire, &structs.KVExpireRequest{Limit: 10}), is[*structs.KVExpireReply]},
		{command(t, structs.CommandTxn, &structs.TxnRequest{WriteOptions: ns, Ops: []structs.TxnOp{{KV: &structs.TxnKVOp{
			Verb: structs.KVSet, Pair: structs.KVPair{Key: "t"}}}}}), is[*structs.TxnReply]},
		{command(t, structs.CommandSession, &structs.SessionRequest{WriteOptions: ns, Op: structs.SessionDestroy,
			Session: structs.Session{ID: "x"}}), is[*structs.SessionReply]},
		{command(t, structs.CommandNamespace, &structs.NamespaceRequest{Op: structs.NamespaceUpsert,
			Namespace: structs.NamespaceInfo{Name: "b"}}), is[*structs.NamespaceReply]},
		{command(t, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeDelete, Node: structs.Node{ID: "x"}}), isNil},
		{command(t, structs.CommandTombstoneReap, &structs.TombstoneReapRequest{Index: 1}), isNil},
		{command(t, structs.CommandAutopilot, &structs.AutopilotRequest{}), is[*structs.AutopilotReply]},
		{command(t, structs.CommandCluster, &structs.ClusterRequest{ID: clusterA}), isNil},
		{sql(t, "select 1"), is[*structs.SQLReply]},
		{command(t, structs.CommandSQLDatabase, &structs.SQLDatabaseRequest{WriteOptions: ns, Op: structs.SQLDatabaseCreate,
			Database: structs.SQLDatabase{Name: "d"}}), is[*structs.SQLDatabaseReply]},
	} {
		if got, want := c.command.Type, structs.CommandType(i); got != want {
			t.Fatalf("case %d has command %d: the table of this test has a hole", i, got)
		}
		r := apply(t, f, uint64(100+i), c.command)[0]
		if r.Err != nil || !c.reply(r.Reply) {
			t.Errorf("command %d: reply %T, error %v", i, r.Reply, r.Err)
		}
	}
}

func is[T any](v any) bool { _, ok := v.(T); return ok }
func isNil(v any) bool     { return v == nil }

func TestRefusalHasNoReplyAndSparesTheRestOfTheEntry(t *testing.T) {
	f := New(state.New(), nil)
	bad := &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a"}}
	bad.Namespace = "nowhere"
	rs := apply(t, f, 2, set(t, "before", "1"), command(t, structs.CommandKV, bad), set(t, "after", "1"))
	if rs[1].Reply != nil || rs[1].Err == nil {
		t.Fatalf("refused command: reply %#v, error %v", rs[1].Reply, rs[1].Err)
	}
	for _, key := range []string{"before", "after"} {
		if _, e := f.Store().KVGet(nil, structs.DefaultNamespace, key); e == nil || e.ModifyIndex != 2 {
			t.Errorf("%s: %+v", key, e)
		}
	}
}

// Nobody can say what such an entry did on the servers that could read it.
func TestUnusableCommittedEntryPanicsWithItsIndex(t *testing.T) {
	flipped := encodeEntry(t, testEntry(t))
	flipped[len(flipped)-1] ^= 1
	for name, data := range map[string][]byte{
		"damaged":         flipped,
		"empty":           nil,
		"unknown command": encodeEntry(t, &structs.Entry{Commands: []structs.Command{{Type: 200}}}),
		"damaged command": encodeEntry(t, &structs.Entry{Commands: []structs.Command{{Type: structs.CommandKV, Body: []byte{0xc1}}}}),
	} {
		t.Run(name, func(t *testing.T) {
			f := New(state.New(), nil)
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, "entry 77 ") {
					t.Fatalf("panic %q", text)
				}
				if f.AppliedIndex() != 0 || f.Store().Index() != 0 {
					t.Fatal("the entry counts as applied")
				}
			}()
			f.Apply(&raft.Log{Index: 77, Term: 3, Type: raft.LogCommand, Data: data})
		})
	}
}

func TestBatchAnswersEachLogInItsPlace(t *testing.T) {
	f := New(state.New(), nil)
	out := f.ApplyBatch([]*raft.Log{
		entryLog(t, 5, &structs.Entry{Time: 1e9, Commands: []structs.Command{set(t, "a", "1"), set(t, "b", "1")}}),
		{Index: 6, Type: raft.LogConfiguration, Data: []byte("not ours to read")},
		entryLog(t, 7, &structs.Entry{Time: 2e9}),
	})
	if len(out) != 3 || len(out[0].([]structs.CommandResult)) != 2 || out[1] != nil || len(out[2].([]structs.CommandResult)) != 0 {
		t.Fatalf("responses %+v", out)
	}
	if f.AppliedIndex() != 7 || f.Store().Index() != 7 || !f.Store().Time().Equal(time.Unix(2, 0)) {
		t.Fatalf("applied %d, store at %d, %v", f.AppliedIndex(), f.Store().Index(), f.Store().Time())
	}
}

func TestConfigurationOnlyMovesTheAppliedIndex(t *testing.T) {
	f := New(state.New(), nil)
	apply(t, f, 3, set(t, "a", "1"))
	at := f.Store().Time()
	f.ApplyBatch([]*raft.Log{{Index: 4, Type: raft.LogConfiguration}})
	if f.AppliedIndex() != 4 || f.Store().Index() != 3 || !f.Store().Time().Equal(at) {
		t.Fatalf("applied %d, store at %d, %v", f.AppliedIndex(), f.Store().Index(), f.Store().Time())
	}
}

func TestReplayedEntryIsSkipped(t *testing.T) {
	f := sample(t)
	before, index := stream(t, f), f.AppliedIndex()
	for _, old := range []uint64{1, index - 1, index} {
		if r := f.Apply(entryLog(t, old, &structs.Entry{Commands: []structs.Command{set(t, "a", "replayed")}})); r != nil {
			t.Fatalf("entry %d was applied at %d: %v", old, index, r)
		}
	}
	if string(stream(t, f)) != string(before) {
		t.Fatal("the state has changed")
	}
}

func TestWaitAppliedSeesItsEntryInTheStore(t *testing.T) {
	f := New(state.New(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		for i := uint64(1); i <= 500; i++ {
			if err := f.WaitApplied(ctx, i); err != nil {
				done <- err
				return
			}
			if got := f.Store().Index(); got < i {
				t.Errorf("waited for %d, the store is at %d", i, got)
			}
		}
		done <- nil
	}()
	for i := uint64(1); i <= 500; i++ {
		apply(t, f, i, set(t, "a", "1"))
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestWaitAppliedIsWokenByRestore(t *testing.T) {
	data := stream(t, sample(t))
	f := New(newStore(t), nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.WaitApplied(ctx, 29) }()
	if err := f.Restore(nopCloser(data)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || f.AppliedIndex() != 29 {
		t.Fatalf("%v, applied %d", err, f.AppliedIndex())
	}
}
