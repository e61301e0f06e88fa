package state

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

func kvOp(verb structs.KVOp, key, value string) structs.TxnOp {
	return structs.TxnOp{KV: &structs.TxnKVOp{Verb: verb, Pair: structs.KVPair{Key: key, Value: []byte(value)}}}
}

func sqlOp(database string, statements ...string) structs.TxnOp {
	return structs.TxnOp{SQL: &structs.TxnSQLOp{Database: database, Statements: sqlRequest(ns, database, statements...).Statements}}
}

// guardOp holds while a query of the default database gives so many rows.
func guardOp(rows int64, query string) structs.TxnOp {
	return structs.TxnOp{SQL: &structs.TxnSQLOp{Guards: []structs.SQLGuard{{SQLStatement: structs.SQLStatement{SQL: query}, Rows: &rows}}}}
}

func txnRequest(ops ...structs.TxnOp) *structs.TxnRequest {
	return &structs.TxnRequest{WriteOptions: structs.WriteOptions{Namespace: ns}, Ops: ops}
}

// mixedRig has the table t with 1 in the default database and in "b", and the key "have".
func mixedRig(t *testing.T) *rig {
	t.Helper()
	r := newSQLRig(t)
	if refusal := r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: "b"}); refusal != nil {
		t.Fatal(refusal)
	}
	for _, database := range []string{"", "b"} {
		r.exec(database, "create table t(a integer primary key)", "insert into t values(1)")
	}
	r.set("have", "old")
	return r
}

// everything is what is in tables and databases; applied indexes of the databases are no part of it.
func everything(t *testing.T, s *Store) string {
	t.Helper()
	out := string(tables(t, s))
	_, list, _ := s.SQLDatabaseList(nil, ns, "", 0)
	for _, d := range list {
		out += fmt.Sprintf("%+v\n%s", *d, read(t, s, d.Name, "select name, sql from sqlite_schema order by 1"))
		for _, table := range strings.Fields(read(t, s, d.Name, "select name from sqlite_schema where type='table' and name not like '%debros%'")) {
			out += read(t, s, d.Name, `select * from "`+strings.TrimLeft(table, "0")+`"`)
		}
	}
	return out
}

func TestMixedTransactionDoesAll(t *testing.T) {
	r := mixedRig(t)
	reply := r.applyTxn(txnRequest(
		kvOp(structs.KVSet, "k", "v"),
		sqlOp("", "insert into t values(2) returning a", "update t set a = a + 10"),
		sqlOp("b", "delete from t"),
		kvOp(structs.KVGet, "k", ""),
		sqlOp("", "select count(*) from t"),
	))
	if len(reply.Errors) != 0 || len(reply.Results) != 5 || reply.Index != r.index {
		t.Fatalf("%+v", reply)
	}
	first := reply.Results[1].SQL.Results
	if len(first) != 2 || len(first[0].Rows) != 1 || first[1].RowsAffected != 2 || reply.Results[3].KV == nil {
		t.Fatalf("%+v", reply.Results)
	}
	if got := read(t, r.s, "", "select group_concat(a) from t"); !strings.Contains(got, "11,12") {
		t.Errorf("default: %q", got)
	}
	if got := read(t, r.s, "b", "select count(*) from t"); got != "0\n" {
		t.Errorf("b: %q", got)
	}
	for _, name := range []string{structs.DefaultDatabase, "b"} {
		if index, _ := r.s.SQLDatabaseGet(nil, ns, name); index != r.index {
			t.Errorf("%s is at %d, want %d", name, index, r.index)
		}
	}
	wantEqual(t, "the key", string(r.get("k").Value), "v")
}

// What fails may be anything, anywhere: nothing of the other operations is left, in memory or in any file, and the next
// entry finds everything as it was.
func TestMixedTransactionDoesAllOrNothing(t *testing.T) {
	good := []structs.TxnOp{
		kvOp(structs.KVSet, "k", "v"), kvOp(structs.KVDelete, "have", ""),
		sqlOp("", "insert into t values(2)", "create table u(a)", "insert into u values(random())"),
		sqlOp("b", "update t set a = 7", "drop table t"), sqlOp("", "analyze", "create index i on t(a)"),
	}
	for name, c := range map[string]struct {
		op   structs.TxnOp
		want string
	}{
		"a missing key":           {kvOp(structs.KVGet, "none", ""), "doesn't exist"},
		"a constraint":            {sqlOp("", "insert into t values(5)", "insert into t values(1)"), "statement 2: UNIQUE"},
		"a syntax error":          {sqlOp("b", "selec 1"), "statement 1: "},
		"a guard":                 {guardOp(9, "select * from t"), "guard 1 does not hold"},
		"a database that is none": {sqlOp("none", "select 1"), `database "none" does not exist`},
		"too much work":           {structs.TxnOp{SQL: &structs.TxnSQLOp{WorkMax: 50_000, Statements: sqlRequest(ns, "", "insert into t with recursive c(i) as (select 100 union all select i+1 from c) select i from c").Statements}}, "too much work"},
		"BEGIN":                   {sqlOp("", "begin"), "statement 1: "},
		"an operation of none":    {structs.TxnOp{}, "no operation"},
		"an operation of both":    {structs.TxnOp{KV: good[0].KV, SQL: good[2].SQL}, "not more"},
	} {
		for at := range len(good) + 1 {
			ops := append(append(append([]structs.TxnOp{}, good[:at]...), c.op), good[at:]...)
			t.Run(fmt.Sprintf("%s at %d", name, at), func(t *testing.T) {
				r := mixedRig(t)
				before := everything(t, r.s)
				reply := r.applyTxn(txnRequest(ops...))
				if len(reply.Errors) == 0 || reply.Results != nil || reply.Errors[0].OpIndex != at || !strings.Contains(reply.Errors[0].What, c.want) {
					t.Fatalf("%+v", reply)
				}
				if after := everything(t, r.s); after != before {
					t.Fatalf("it left\n%s\nof\n%s", after, before)
				}
				if reply := r.applyTxn(txnRequest(good...)); len(reply.Errors) != 0 {
					t.Fatalf("after it: %+v", reply)
				}
				if got := read(t, r.s, "", "select count(*) from t, u"); got != "2\n" {
					t.Errorf("after it: %q", got)
				}
			})
		}
	}
}

func TestGuardAloneIsAnOperation(t *testing.T) {
	r := mixedRig(t)
	if reply := r.applyTxn(txnRequest(guardOp(1, "select * from t"), kvOp(structs.KVSet, "k", "v"))); len(reply.Errors) != 0 || len(reply.Results) != 2 || reply.Results[0].SQL == nil {
		t.Fatalf("%+v", reply)
	}
	if reply := r.applyTxn(txnRequest(kvOp(structs.KVSet, "k", "w"), guardOp(2, "select * from t"))); len(reply.Errors) != 1 || reply.Errors[0].OpIndex != 1 {
		t.Fatalf("%+v", reply)
	}
	wantEqual(t, "the key", string(r.get("k").Value), "v")
}

// The rest of the entry stands, on both sides of the transaction and in the same database.
func TestFailedMixedTransactionSparesItsNeighbours(t *testing.T) {
	r := mixedRig(t)
	run := func(tx *Txn, sql string) {
		t.Helper()
		reply, refusal, err := tx.SQL(sqlRequest(ns, "", sql))
		if err != nil || refusal != nil || reply.Results[0].Err != nil {
			t.Fatal(reply, refusal, err)
		}
	}
	fail := txnRequest(sqlOp("", "insert into t values(20)", "analyze"), sqlOp("b", "delete from t"), kvOp(structs.KVGet, "none", ""))
	r.entry(func(tx *Txn) {
		run(tx, "insert into t values(10)")
		wantEqual(t, "errors", len(mustTxn(t, tx, fail).Errors), 1)
		run(tx, "insert into t values(11)")
		wantEqual(t, "errors", len(mustTxn(t, tx, txnRequest(sqlOp("", "insert into t values(12)"))).Errors), 0)
		wantEqual(t, "errors", len(mustTxn(t, tx, fail).Errors), 1)
		run(tx, "insert into t values(13)")
	})
	if got := read(t, r.s, "", "select group_concat(a) from t"); !strings.HasSuffix(got, "1,10,11,12,13\n") {
		t.Errorf("%q", got)
	}
	if got := read(t, r.s, "b", "select count(*) from t"); got != "1\n" {
		t.Errorf("b: %q", got)
	}
	if index, _ := r.s.SQLDatabaseGet(nil, ns, "b"); index == r.index {
		t.Error("b moved, which nobody wrote")
	}
}

// A transaction that is the first to write to the default database takes the database back with it.
func TestFailedTransactionMakesNoDatabase(t *testing.T) {
	r := newRig(t)
	dir := filepath.Join(t.TempDir(), "sql")
	if err := r.s.OpenDatabases(dir, ""); err != nil {
		t.Fatal(err)
	}
	defer r.s.CloseDatabases()
	before := tables(t, r.s)
	fail := txnRequest(sqlOp("", "create table if not exists t(a)"), kvOp(structs.KVGet, "none", ""))
	if reply := r.applyTxn(fail); len(reply.Errors) != 1 {
		t.Fatalf("%+v", reply)
	}
	if after := tables(t, r.s); !bytes.Equal(after, before) {
		t.Errorf("it left\n%s\nof\n%s", after, before)
	}
	var files []string
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), ".db") {
			files = append(files, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(files) != 0 {
		t.Errorf("files are left: %q", files)
	}
	// The database may come all the same, in the same entry or later.
	r.entry(func(tx *Txn) {
		wantEqual(t, "errors", len(mustTxn(t, tx, fail).Errors), 1)
		wantEqual(t, "errors", len(mustTxn(t, tx, txnRequest(sqlOp("", "create table t(b)"))).Errors), 0)
		wantEqual(t, "errors", len(mustTxn(t, tx, fail).Errors), 1)
	})
	if got := read(t, r.s, "", "select name from pragma_table_info('t')"); !strings.Contains(got, "b") {
		t.Errorf("%q", got)
	}
}

// Every operation after a failure is looked at but SQL, whose work would be in vain.
func TestSQLAfterAFailureIsNotRun(t *testing.T) {
	r := mixedRig(t)
	reply := r.applyTxn(txnRequest(
		kvOp(structs.KVGet, "none", ""), sqlOp("", "selec 1"), kvOp(structs.KVGet, "none either", ""),
	))
	if len(reply.Errors) != 2 || reply.Errors[0].OpIndex != 0 || reply.Errors[1].OpIndex != 2 {
		t.Fatalf("%+v", reply)
	}
}

func TestTxnReadRefusesSQL(t *testing.T) {
	r := mixedRig(t)
	if reply := r.s.TxnRead([]structs.TxnOp{sqlOp("", "select 1")}, ns); len(reply.Errors) != 1 || reply.Results != nil {
		t.Fatalf("%+v", reply)
	}
}

// A crash may come between the commits of the databases, or after them and before a snapshot. Whichever of the databases
// have the entry then, replay ends in the same state: what is done in one is done in all, and in the tables.
func TestMixedTransactionComesOutTheSameAfterACrash(t *testing.T) {
	for name, ops := range map[string][]structs.TxnOp{
		"done":                   {kvOp(structs.KVSet, "k", "v"), sqlOp("", "insert into t values(2)"), sqlOp("b", "insert into t values(3)")},
		"KV fails at the end":    {sqlOp("", "insert into t values(2)"), sqlOp("b", "insert into t values(3)"), kvOp(structs.KVGet, "none", "")},
		"KV fails in between":    {sqlOp("", "insert into t values(2)"), kvOp(structs.KVGet, "none", ""), sqlOp("b", "insert into t values(3)"), kvOp(structs.KVSet, "k", "v")},
		"the first one fails":    {kvOp(structs.KVSet, "k", "v"), sqlOp("", "insert into t values(1)"), sqlOp("b", "insert into t values(3)")},
		"the second one fails":   {sqlOp("", "insert into t values(2)"), kvOp(structs.KVSet, "k", "v"), sqlOp("b", "insert into t values(1)")},
		"a guard holds":          {guardOp(1, "select * from t"), kvOp(structs.KVSet, "k", "v"), sqlOp("b", "insert into t values(4)")},
		"a guard does not hold":  {kvOp(structs.KVSet, "k", "v"), sqlOp("b", "insert into t values(4)"), guardOp(7, "select * from t")},
		"one database comes off": {sqlOp("none", "select 1"), sqlOp("b", "insert into t values(5)"), kvOp(structs.KVSet, "k", "v")},
	} {
		t.Run(name, func(t *testing.T) {
			log := func(r *rig, after bool) {
				if refusal := r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: "b"}); refusal != nil {
					t.Fatal(refusal)
				}
				for _, database := range []string{"", "b"} {
					r.exec(database, "create table t(a integer primary key)", "insert into t values(1)")
				}
				if !after {
					return
				}
				r.applyTxn(txnRequest(ops...))
				r.exec("", "delete from t") // run again now, the transaction would come out differently
				r.exec("b", "delete from t")
			}
			r := openLeftBehind(t, filepath.Join(t.TempDir(), "sql"), "boot")
			log(r, false)
			before := crashed(t, r.s)
			r.applyTxn(txnRequest(ops...))
			between := crashed(t, r.s)
			r.exec("", "delete from t")
			r.exec("b", "delete from t")
			after := crashed(t, r.s)
			want := everything(t, r.s)

			at := map[string]string{"before": before, "between": between, "after": after}
			for nameA, dirA := range at {
				for nameB, dirB := range at {
					dir := t.TempDir()
					mix(t, dir, dirA, dirB)
					again := openLeftBehind(t, dir, "boot")
					log(again, true)
					if got := everything(t, again.s); got != want {
						t.Errorf("default as of %s, b as of %s: it is now\n%s\nbut was\n%s", nameA, nameB, got, want)
					}
				}
			}
		})
	}
}

// mix makes of dir what a crash could have left: the default database from dirA, b from dirB.
func mix(t *testing.T, dir, dirA, dirB string) {
	t.Helper()
	n := 0
	for i, from := range []string{dirA, dirB} {
		err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(d.Name(), ".b.") != (i == 1) {
				return err
			}
			rel, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			n++
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, rel)), 0o700); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, rel), data, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 5 {
		t.Fatalf("only %d files were left behind", n)
	}
}
