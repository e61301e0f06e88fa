package state

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

const ns = structs.DefaultNamespace

var seedFlag = flag.Uint64("state.seed", 0, "seed of the random tests; 0 = DEBROS_TEST_SEED or a new one")

// newRand logs the seed (shown when the test fails) and takes one.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	env, _ := strconv.ParseUint(os.Getenv("DEBROS_TEST_SEED"), 10, 64)
	seed := cmp.Or(*seedFlag, env, rand.Uint64())
	t.Logf("seed: -state.seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// rig applies one entry after the other.
type rig struct {
	t     *testing.T
	s     *Store
	index uint64
	now   time.Time
}

// newRig has an alive node n1, written at index 10.
func newRig(t *testing.T) *rig {
	r := &rig{t: t, s: New(), index: 9, now: time.Unix(1_700_000_000, 0)}
	r.node("n1", structs.NodeAlive)
	return r
}

// entry applies f as the next entry and returns its index.
func (r *rig) entry(f func(*Txn)) uint64 {
	r.t.Helper()
	r.index++
	tx := r.s.Begin(structs.Stamp{Index: r.index, Time: r.now})
	defer tx.Abort()
	f(tx)
	tx.Commit()
	return r.index
}

func (r *rig) node(name string, status structs.NodeStatus) {
	r.t.Helper()
	r.entry(func(tx *Txn) {
		tx.Node(&structs.NodeRequest{Op: structs.NodeUpsert, Node: structs.Node{
			ID: structs.NodeID("id-" + name), Name: name, Status: status}})
	})
}

func (r *rig) tryKV(op structs.KVOp, p structs.KVPair, ttl ...time.Duration) (*structs.KVReply, *structs.Error) {
	r.t.Helper()
	req := &structs.KVRequest{Op: op, KV: p}
	req.Namespace = cmp.Or(p.Namespace, ns)
	if len(ttl) > 0 {
		req.TTL = int64(ttl[0])
	}
	var reply *structs.KVReply
	var err *structs.Error
	r.entry(func(tx *Txn) { reply, err = tx.KV(req) })
	return reply, err
}

// kv applies one write and returns whether its condition held.
func (r *rig) kv(op structs.KVOp, p structs.KVPair, ttl ...time.Duration) bool {
	r.t.Helper()
	reply, err := r.tryKV(op, p, ttl...)
	if err != nil {
		r.t.Fatalf("%s %q: %v", op, p.Key, err)
	}
	return reply.OK
}

func (r *rig) set(key, value string, ttl ...time.Duration) {
	r.t.Helper()
	r.kv(structs.KVSet, structs.KVPair{Key: key, Value: []byte(value)}, ttl...)
}

func (r *rig) lock(key, session string) bool {
	r.t.Helper()
	return r.kv(structs.KVLock, structs.KVPair{Key: key, Session: session})
}

func (r *rig) session(s structs.Session) string {
	r.t.Helper()
	s.Node = cmp.Or(s.Node, "n1")
	if err := r.trySession(structs.SessionCreate, s); err != nil {
		r.t.Fatalf("create session %q: %v", s.ID, err)
	}
	return s.ID
}

func (r *rig) destroy(id string) {
	r.t.Helper()
	if err := r.trySession(structs.SessionDestroy, structs.Session{ID: id}); err != nil {
		r.t.Fatalf("destroy session %q: %v", id, err)
	}
}

func (r *rig) trySession(op structs.SessionOp, s structs.Session) (err *structs.Error) {
	r.t.Helper()
	if s.NodeChecks == nil { // as endpoints do
		s.NodeChecks = []string{structs.NodeHealthCheck}
	}
	req := &structs.SessionRequest{Op: op, Session: s}
	req.Namespace = cmp.Or(s.Namespace, ns)
	r.entry(func(tx *Txn) { _, err = tx.Session(req) })
	return err
}

func (r *rig) namespace(op structs.NamespaceOp, name structs.Namespace) (err *structs.Error) {
	r.t.Helper()
	r.entry(func(tx *Txn) {
		_, err = tx.Namespace(&structs.NamespaceRequest{Op: op, Namespace: structs.NamespaceInfo{Name: name}})
	})
	return err
}

func (r *rig) txn(ops ...structs.TxnKVOp) (reply *structs.TxnReply) {
	r.t.Helper()
	req := &structs.TxnRequest{Ops: txnOps(ops...)}
	req.Namespace = ns
	reply = r.applyTxn(req)
	return reply
}

func txnOps(ops ...structs.TxnKVOp) []structs.TxnOp {
	list := make([]structs.TxnOp, len(ops))
	for i := range ops {
		list[i].KV = &ops[i]
	}
	return list
}

// get returns the row, failing the test when it does not exist.
func (r *rig) get(key string) *structs.KVPair {
	r.t.Helper()
	_, row := r.s.KVGet(nil, ns, key)
	if row == nil {
		r.t.Fatalf("key %q does not exist", key)
	}
	return row
}

func (r *rig) has(key string) bool {
	_, row := r.s.KVGet(nil, ns, key)
	return row != nil
}

// tables renders every row of every table; without the index and time of the last entry.
func tables(t *testing.T, s *Store) []byte {
	t.Helper()
	var out bytes.Buffer
	sn := s.Snapshot()
	dumpTable(t, &out, "namespaces", sn.Namespaces)
	dumpTable(t, &out, "nodes", sn.Nodes)
	dumpTable(t, &out, "sessions", sn.Sessions)
	dumpTable(t, &out, "kv", sn.KVs)
	dumpTable(t, &out, "tombstones", sn.Tombstones)
	dumpTable(t, &out, "lockdelays", sn.LockDelays)
	dumpTable(t, &out, "indexes", sn.TableIndexes)
	fmt.Fprintf(&out, "autopilot %+v\n", sn.Autopilot())
	fmt.Fprintf(&out, "cluster %+v\n", sn.Cluster())
	return out.Bytes()
}

func dumpTable[T any](t *testing.T, out *bytes.Buffer, name string, each func(func(*T) error) error) {
	t.Helper()
	err := each(func(row *T) error {
		data, err := structs.Encode(row)
		fmt.Fprintf(out, "%s %q\n", name, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dump is tables with the last entry.
func dump(t *testing.T, s *Store) []byte {
	t.Helper()
	return fmt.Appendf(tables(t, s), "entry %d %d\n", s.Index(), s.Time().UnixNano())
}

// restoreFrom replaces to by what a snapshot of from holds, through the encoding of rows.
func restoreFrom(t *testing.T, to, from *Store) {
	t.Helper()
	sn := from.Snapshot()
	err := to.Restore(func(r *Restorer) error {
		for _, err := range []error{
			sn.Namespaces(recode(t, r.Namespace)), sn.Nodes(recode(t, r.Node)), sn.Sessions(recode(t, r.Session)),
			sn.KVs(recode(t, r.KV)), sn.Tombstones(recode(t, r.Tombstone)), sn.LockDelays(recode(t, r.LockDelay)),
			sn.TableIndexes(recode(t, r.TableIndex)), r.Entry(sn.Index(), sn.Time()),
		} {
			if err != nil {
				return err
			}
		}
		if c := sn.Cluster(); c != nil {
			if err := recode(t, r.Cluster)(c); err != nil {
				return err
			}
		}
		if c := sn.Autopilot(); c != nil {
			return recode(t, r.Autopilot)(c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func recode[T any](t *testing.T, add func(*T) error) func(*T) error {
	return func(row *T) error {
		data, err := structs.Encode(row)
		if err != nil {
			return err
		}
		var c T
		if err := structs.Decode(data, &c); err != nil {
			return err
		}
		return add(&c)
	}
}

// fired reports whether any watch of the set has fired.
func fired(ws memdb.WatchSet) bool {
	for ch := range ws {
		select {
		case <-ch:
			return true
		default:
		}
	}
	return false
}

func wantEqual[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// applyTxn applies a transaction as the next entry.
func (r *rig) applyTxn(req *structs.TxnRequest) (reply *structs.TxnReply) {
	r.t.Helper()
	r.entry(func(tx *Txn) { reply = mustTxn(r.t, tx, req) })
	return reply
}

// mustTxn fails on faults, not on operations that failed.
func mustTxn(t *testing.T, tx *Txn, req *structs.TxnRequest) *structs.TxnReply {
	t.Helper()
	reply, refusal, err := tx.Txn(req)
	if refusal != nil || err != nil {
		t.Fatal(refusal, err)
	}
	return reply
}
