package fsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// mixedOp is an operation of KV or SQL that may well fail.
func (g *generator) mixedOp() structs.TxnOp {
	if g.rnd.IntN(2) == 0 {
		verb := pick(g, structs.KVSet, structs.KVSet, structs.KVSet, structs.KVDelete, structs.KVGet, structs.KVCheckNotExists, structs.KVDeleteTree)
		return structs.TxnOp{KV: &structs.TxnKVOp{Verb: verb, Pair: structs.KVPair{Key: g.key(), Value: []byte(fmt.Sprint(g.rnd.IntN(3)))}}}
	}
	op := &structs.TxnSQLOp{Database: pick(g, "", "", structs.DefaultDatabase, "missing"), WorkMax: 30_000}
	if op.Database == "missing" && g.rnd.IntN(3) > 0 {
		op.Database = ""
	}
	if g.rnd.IntN(4) == 0 {
		rows := g.rnd.Int64N(3)
		op.Guards = []structs.SQLGuard{{SQLStatement: structs.SQLStatement{SQL: fmt.Sprintf("select * from t where a < %d", rows)}, Rows: &rows}}
	}
	for range 1 + g.rnd.IntN(3) {
		op.Statements = append(op.Statements, structs.SQLStatement{SQL: pick(g,
			"create table if not exists t(a integer primary key, b default (random()))",
			"create table if not exists t(a integer primary key, b default (random()))",
			fmt.Sprintf("insert into t(a) values(%d)", g.rnd.IntN(40)),
			fmt.Sprintf("insert or replace into t(a) values(%d) returning a, b", g.rnd.IntN(40)),
			"insert into t default values", "update t set b = random() where a % 3 = 0", "analyze", "select count(*) from t",
			"create index if not exists i on t(b)", "drop index if exists i",
			fmt.Sprintf("delete from t where a = %d", g.rnd.IntN(40)),
			pick(g, "select 1", "insert into t with recursive c(i) as (select 1000 union all select i+1 from c) select i, i from c", "insert into t values(9223372036854775807, 1)", "selec"),
		)})
	}
	return structs.TxnOp{SQL: op}
}

func mixed(t testing.TB, ops ...structs.TxnOp) structs.Command {
	t.Helper()
	return command(t, structs.CommandTxn, &structs.TxnRequest{WriteOptions: structs.WriteOptions{Namespace: structs.DefaultNamespace}, Ops: ops})
}

// mixedRows are what transactions of mixedOp change: the keys, and the databases with their indexes and rows.
func mixedRows(t *testing.T, f *FSM) string {
	t.Helper()
	_, keys, _ := f.Store().KVList(nil, structs.DefaultNamespace, "", "", 0)
	_, databases, _ := f.Store().SQLDatabaseList(nil, structs.DefaultNamespace, "", 0)
	out := ""
	for _, k := range keys {
		out += fmt.Sprintf("%+v\n", *k)
	}
	for _, d := range databases {
		out += fmt.Sprintf("%+v\n", *d)
	}
	if sqlOne(t, f, "select count(*) from sqlite_schema where name = 't'").Integer() == 0 {
		return out
	}
	if err := f.Store().Sight().TxnReplies(func(r *structs.StoredTxn) error {
		row, err := structs.Encode(r)
		out += fmt.Sprintf("%s: %x\n", r.RequestID, row)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out + sqlOne(t, f, "select coalesce(group_concat(a || '=' || b), 'none') from (select * from t order by a)").Bytes() +
		sqlOne(t, f, "select group_concat(name) from (select name from sqlite_schema order by 1)").Bytes()
}

// TestReplicasStayEqualOverMixedTransactions applies random transactions of KV and SQL, many of which fail, to a replica
// that lives through them all and to one that is restored from a snapshot now and then.
func TestReplicasStayEqualOverMixedTransactions(t *testing.T) {
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	failed, done, repeated := 0, 0, 0
	for s := first; s < first+6; s++ {
		g := &generator{t: t, rnd: rand.New(rand.NewPCG(s, s))}
		a, b := New(newStore(t), nil), New(newStore(t), nil)
		for index := uint64(2); index < 60; index++ {
			e := &structs.Entry{Time: int64(index) * 1e9, Seed: g.rnd.Uint64()}
			for range 1 + g.rnd.IntN(3) {
				var ops []structs.TxnOp
				for range 1 + g.rnd.IntN(4) {
					ops = append(ops, g.mixedOp())
				}
				req := &structs.TxnRequest{WriteOptions: structs.WriteOptions{Namespace: structs.DefaultNamespace}, Ops: ops}
				if g.rnd.IntN(2) == 0 { // many are repetitions, or take an id that was another's
					req.RequestID, req.Digest = fmt.Sprint(g.rnd.IntN(12)), []byte{byte(g.rnd.IntN(4) / 3)}
				}
				e.Commands = append(e.Commands, command(t, structs.CommandTxn, req))
			}
			l := entryLog(t, index, e)
			results, ok := a.Apply(l).([]structs.CommandResult)
			if want, got := encodeResults(t, results), encodeResults(t, b.Apply(l)); !ok || !bytes.Equal(got, want) {
				t.Fatalf("seed %d, entry %d: one replied %q, the other %q", s, index, want, got)
			}
			for _, r := range results {
				switch reply, _ := r.Reply.(*structs.TxnReply); {
				case reply == nil: // refused
				case reply.Replayed:
					repeated++
				case len(reply.Errors) > 0:
					failed++
				default:
					done++
				}
			}
			if g.rnd.IntN(12) == 0 {
				b = restored(t, stream(t, b))
			}
		}
		if x, y := mixedRows(t, a), mixedRows(t, b); x != y {
			t.Fatalf("seed %d: one has\n%s\nthe other\n%s", s, x, y)
		}
	}
	if failed < 50 || done < 50 || repeated < 10 {
		t.Errorf("seed %d: %d transactions failed, %d did not and %d were repetitions: the logs say too little", first, failed, done, repeated)
	}
}

// A disk that fails in a transaction is no operation that failed.
func TestDiskFaultInATransactionStopsTheFSM(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sql")
	store := state.New()
	if err := store.OpenDatabases(dir, ""); err != nil {
		t.Fatal(err)
	}
	defer store.CloseDatabases()
	f := New(store, nil)
	var told []error
	f.OnFault(func(err error) { told = append(told, err) })
	apply(t, f, 2, set(t, "before", "1"))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	response := f.Apply(entryLog(t, 3, &structs.Entry{Commands: []structs.Command{mixed(t,
		structs.TxnOp{KV: &structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "with", Value: []byte("1")}}},
		structs.TxnOp{SQL: &structs.TxnSQLOp{Statements: []structs.SQLStatement{{SQL: "create table t(a)"}}}})}}))
	if _, ok := response.(error); !ok || len(told) != 1 || f.AppliedIndex() != 2 {
		t.Fatalf("response %v, told %v, applied %d", response, told, f.AppliedIndex())
	}
	if _, with := store.KVGet(nil, structs.DefaultNamespace, "with"); with != nil {
		t.Fatal("half of the transaction was done")
	}
}
