package fsm

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

var seed = flag.Uint64("seed", 0, "seed of the random tests; 0 = another one each time")

// TestReplicasStayEqual applies one random log to three replicas: one entry at a time, in batches, and
// with restores from a snapshot now and then followed by a replay of entries that it already holds.
// Replies must be equal entry by entry, and snapshot streams byte by byte.
func TestReplicasStayEqual(t *testing.T) {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	seen := map[string]int{}
	for round := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", s+round), func(t *testing.T) { replicasStayEqual(t, s+round, seen) })
	}
	for rt := recordNamespace; rt <= recordTableIndex && !t.Failed(); rt++ {
		if seen[rt.table()] == 0 {
			t.Errorf("seed %d: no row of %s was ever compared: the log says too little", s, rt.table())
		}
	}
}

func replicasStayEqual(t *testing.T, s uint64, seen map[string]int) {
	g := &generator{t: t, rnd: rand.New(rand.NewPCG(s, s)), now: 1_700_000_000e9}
	single, batched, rebuilt := New(state.New(), nil), New(state.New(), nil), New(state.New(), nil)
	var all, waiting []*raft.Log
	var waitingWant [][]byte
	for range 200 {
		l := g.log()
		all = append(all, l)
		want := encodeResults(t, single.Apply(l))

		if got := encodeResults(t, rebuilt.Apply(l)); !bytes.Equal(got, want) {
			t.Fatalf("entry %d: the rebuilt replica replied %q, the first %q", l.Index, got, want)
		}
		if g.rnd.IntN(15) == 0 {
			rebuilt = restored(t, stream(t, rebuilt))
			for _, old := range all[max(0, len(all)-g.rnd.IntN(30)):] {
				if r := rebuilt.Apply(old); r != nil {
					t.Fatalf("entry %d was applied twice", old.Index)
				}
			}
		}

		waiting, waitingWant = append(waiting, l), append(waitingWant, want)
		if g.rnd.IntN(10) > 0 {
			continue
		}
		for i, r := range batched.ApplyBatch(waiting) {
			if got := encodeResults(t, r); !bytes.Equal(got, waitingWant[i]) {
				t.Fatalf("entry %d: the batched replica replied %q, the first %q", waiting[i].Index, got, waitingWant[i])
			}
		}
		waiting, waitingWant = nil, nil
		sum, err := Verify(bytes.NewReader(equalStreams(t, l.Index, single, batched, rebuilt)))
		if err != nil {
			t.Fatal(err)
		}
		for table, n := range sum.Counts {
			seen[table] += n
		}
	}
	batched.ApplyBatch(waiting)
	equalStreams(t, all[len(all)-1].Index, single, batched, rebuilt)
}

// equalStreams gives the stream that all have.
func equalStreams(t *testing.T, index uint64, fs ...*FSM) []byte {
	t.Helper()
	want := stream(t, fs[0])
	for i, f := range fs[1:] {
		if !bytes.Equal(stream(t, f), want) {
			t.Fatalf("at %d replica %d differs from the first", index, i+1)
		}
	}
	return want
}

func encodeResults(t *testing.T, response any) []byte {
	t.Helper()
	b, err := structs.Encode(response)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// generator draws entries from a small world, so that commands meet each other.
type generator struct {
	t     *testing.T
	rnd   *rand.Rand
	index uint64
	now   int64
}

func pick[T any](g *generator, vs ...T) T { return vs[g.rnd.IntN(len(vs))] }

func (g *generator) log() *raft.Log {
	g.index += 1 + uint64(g.rnd.IntN(3)) // barriers and no-ops leave holes
	if g.rnd.IntN(15) == 0 {
		return &raft.Log{Index: g.index, Term: 1, Type: raft.LogConfiguration, Data: []byte{1}}
	}
	g.now += g.rnd.Int64N(8e9) - 1e9 // clocks of successive leaders may step back
	e := &structs.Entry{Time: g.now, Seed: g.rnd.Uint64()}
	for range g.rnd.IntN(6) {
		e.Commands = append(e.Commands, g.command())
	}
	return entryLog(g.t, g.index, e)
}

func (g *generator) key() string {
	return pick(g, "", "a/", "a/b/", "c") + fmt.Sprint(g.rnd.IntN(8))
}

func (g *generator) namespace() structs.Namespace {
	return pick[structs.Namespace](g, "default", "default", "default", "default", "default", "one", "two", "never-made")
}

func (g *generator) session() string { return fmt.Sprintf("session-%d", g.rnd.IntN(5)) }

func (g *generator) pair() structs.KVPair {
	p := structs.KVPair{Key: g.key(), Flags: uint64(g.rnd.IntN(2)), Session: g.session(), ModifyIndex: g.near()}
	switch g.rnd.IntN(4) {
	case 0: // nil
	case 1:
		p.Value = []byte{}
	default:
		p.Value = []byte(fmt.Sprint(g.rnd.IntN(3)))
	}
	return p
}

// near is an index that may well be that of some row.
func (g *generator) near() uint64 {
	return pick[uint64](g, 0, g.index-min(g.index, uint64(g.rnd.IntN(12))))
}

func (g *generator) ttl() int64 { return pick[int64](g, 0, 0, 10e9, 40e9) }

func (g *generator) command() structs.Command {
	o := structs.WriteOptions{Namespace: g.namespace()}
	op := pick(g, structs.KVSet, structs.KVSet, structs.KVSet, structs.KVCAS, structs.KVLock, structs.KVLock,
		structs.KVUnlock, structs.KVDelete, structs.KVDeleteCAS, structs.KVDeleteTree)
	switch n := g.rnd.IntN(100); {
	case n < 50:
		return command(g.t, structs.CommandKV, &structs.KVRequest{WriteOptions: o, Op: op, KV: g.pair(), TTL: g.ttl()})
	case n < 62:
		return command(g.t, structs.CommandTxn, g.txn(o))
	case n < 67:
		return command(g.t, structs.CommandKVExpire, &structs.KVExpireRequest{Limit: g.rnd.IntN(5)})
	case n < 80:
		return g.sessionCommand(o)
	case n < 86:
		return command(g.t, structs.CommandNamespace, &structs.NamespaceRequest{
			Op: pick(g, structs.NamespaceUpsert, structs.NamespaceUpsert, structs.NamespaceCreate, structs.NamespaceDelete),
			Namespace: structs.NamespaceInfo{Name: pick[structs.Namespace](g, "one", "two", "default", "BAD NAME"),
				Description: pick(g, "x", "y"), Meta: pick(g, nil, map[string]string{}, map[string]string{"k": "v", "a": "b"})}})
	case n < 90:
		return g.streamCommand(o)
	case n < 94:
		name := pick(g, "s1", "s2", "c1")
		return command(g.t, structs.CommandNode, &structs.NodeRequest{
			Op: pick(g, structs.NodeUpsert, structs.NodeUpsert, structs.NodeUpsert, structs.NodeDelete),
			Node: structs.Node{ID: structs.NodeID("id-" + pick(g, name, name, "other")), Name: name,
				Status: pick(g, structs.NodeAlive, structs.NodeAlive, structs.NodeAlive, structs.NodeFailed, structs.NodeLeft),
				Meta:   pick(g, nil, map[string]string{}, map[string]string{"z": "1", "y": "2"}), Ports: pick(g, nil, map[string]int{"http": 1, "server": 2})}})
	case n < 95:
		return command(g.t, structs.CommandCluster, &structs.ClusterRequest{ID: pick(g, clusterA, clusterB, "")})
	case n < 97:
		return command(g.t, structs.CommandTombstoneReap, &structs.TombstoneReapRequest{Index: g.near()})
	}
	return command(g.t, structs.CommandAutopilot, &structs.AutopilotRequest{WriteOptions: o, CAS: g.rnd.IntN(2) == 0,
		Config: structs.AutopilotConfig{MinQuorum: uint(g.rnd.IntN(3)), ModifyIndex: g.near()}})
}

func (g *generator) message() structs.StreamMessage {
	return structs.StreamMessage{
		Topic: pick(g, "s", "s.a", "s.b.c", "s.b", "other"), ID: pick(g, "", "1", "2", "3", "4"), Data: pick(g, nil, []byte{}, []byte("data")),
		Headers: pick(g, nil, map[string]string{}, map[string]string{"z": "1", "y": "2"}),
	}
}

func (g *generator) streamCommand(o structs.WriteOptions) structs.Command {
	if g.rnd.IntN(2) == 0 {
		r := &structs.StreamPublishRequest{WriteOptions: o}
		for range 1 + g.rnd.IntN(4) {
			r.Messages = append(r.Messages, g.message())
		}
		return command(g.t, structs.CommandPublish, r)
	}
	return command(g.t, structs.CommandStream, &structs.StreamRequest{
		WriteOptions: o, Seq: uint64(g.rnd.IntN(6)),
		Op: pick(g, structs.StreamCreate, structs.StreamCreate, structs.StreamUpdate, structs.StreamDelete, structs.StreamPurge, structs.StreamTrim,
			structs.StreamConsumerSet, structs.StreamConsumerDelete, structs.StreamAck),
		Stream: structs.Stream{Name: pick(g, "s", "s", "s.b", "bad name"), Limits: structs.StreamLimits{
			MessagesMax: pick[int64](g, 0, 3), BytesMax: pick[int64](g, 0, 20), AgeMax: pick(g, 0, 20*time.Second), Dedupe: pick(g, 0, 10*time.Second)}},
		Consumer: structs.StreamConsumer{Name: pick(g, "c1", "c2"), Filter: pick(g, "", "s.>")},
	})
}

func (g *generator) sessionCommand(o structs.WriteOptions) structs.Command {
	r := &structs.SessionRequest{WriteOptions: o, Op: structs.SessionDestroy, Session: structs.Session{ID: g.session()}}
	if g.rnd.IntN(3) > 0 {
		r.Op = structs.SessionCreate
		r.Session = structs.Session{ID: g.session(), Node: pick(g, "s1", "s1", "s2", "nobody"), LockDelay: time.Duration(g.rnd.Int64N(40e9)),
			Behavior: pick(g, structs.SessionRelease, structs.SessionDelete), NodeChecks: pick(g, nil, []string{}, []string{"serfHealth"})}
	}
	return command(g.t, structs.CommandSession, r)
}

func (g *generator) txn(o structs.WriteOptions) *structs.TxnRequest {
	r := &structs.TxnRequest{WriteOptions: o}
	for range 1 + g.rnd.IntN(4) {
		verb := pick(g, structs.KVSet, structs.KVSet, structs.KVCAS, structs.KVLock, structs.KVUnlock, structs.KVDelete,
			structs.KVDeleteCAS, structs.KVDeleteTree, structs.KVGet, structs.KVGetTree, structs.KVGetOrEmpty,
			structs.KVCheckIndex, structs.KVCheckSession, structs.KVCheckNotExists, "nonsense")
		if g.rnd.IntN(8) == 0 {
			m := g.message()
			r.Ops = append(r.Ops, structs.TxnOp{Publish: &m})
			continue
		}
		r.Ops = append(r.Ops, structs.TxnOp{KV: &structs.TxnKVOp{Verb: verb, Pair: g.pair(), TTL: g.ttl()}})
	}
	return r
}
