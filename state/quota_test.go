package state

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

func (r *rig) quota(bytes int64, databases int) {
	r.t.Helper()
	r.entry(func(tx *Txn) {
		_, refusal := tx.Namespace(&structs.NamespaceRequest{Op: structs.NamespaceUpsert,
			Namespace: structs.NamespaceInfo{Name: ns, BytesMax: bytes, DatabasesMax: databases}})
		if refusal != nil {
			r.t.Fatal(refusal)
		}
	})
}

func (r *rig) trySet(key, value string) (refusal *structs.Error) {
	r.entry(func(tx *Txn) {
		_, refusal = tx.KV(&structs.KVRequest{WriteOptions: structs.WriteOptions{Namespace: ns}, Op: structs.KVSet, KV: structs.KVPair{Key: key, Value: []byte(value)}})
	})
	return refusal
}

func wantQuota(t *testing.T, what string, refusal *structs.Error, refused bool) {
	t.Helper()
	if !refused && refusal != nil || refused && (refusal == nil || refusal.Kind != structs.KindQuota || refusal.Hint == "") {
		t.Fatalf("%s: %v, refused: %v", what, refusal, refused)
	}
}

const manyRows = "insert into t select hex(randomblob(100)) from (with recursive c(i) as (select 1 union all select i + 1 from c limit 1000) select i from c)"

func TestQuotaOfBytesRefusesGrowthAndAllowsDeletes(t *testing.T) {
	r := newSQLRig(t)
	r.exec("", "create table t(a)", manyRows)
	r.set("key", strings.Repeat("v", 1000))
	_, d := r.s.SQLDatabaseGet(nil, ns, "default")
	if d.UsedBytes < 200_000 {
		t.Fatalf("the database uses %d bytes", d.UsedBytes)
	}
	r.quota(d.UsedBytes+2000, 0)
	if reply, refusal := r.tryExec(sqlRequest(ns, "", manyRows)); refusal == nil {
		t.Fatalf("200 kB more: %+v", reply.Results)
	} else {
		wantQuota(t, "rows", refusal, true)
	}
	if got := read(t, r.s, "", "select count(*) from t"); got != "1000\n" {
		t.Fatalf("%s rows after a refusal", got)
	}
	wantQuota(t, "a key", r.trySet("k2", strings.Repeat("v", 1100)), true)
	wantQuota(t, "a smaller key", r.trySet("k2", strings.Repeat("v", 900)), false)
	wantQuota(t, "the same again", r.trySet("k2", strings.Repeat("w", 900)), false)
	wantQuota(t, "a larger value", r.trySet("key", strings.Repeat("v", 1200)), true)
	reply := r.applyTxn(txnRequest(kvOp(structs.KVSet, "k3", "x"), sqlOp("", manyRows)))
	if len(reply.Errors) != 1 || !strings.Contains(reply.Errors[0].What, "its quota is") {
		t.Fatalf("a transaction: %+v", reply)
	}
	r.quota(1000, 0) // far below what there is
	for _, sql := range []string{"delete from t where rowid < 300", "select count(*) from t", "delete from t where rowid < 600 returning a"} {
		if _, refusal := r.tryExec(sqlRequest(ns, "", sql)); refusal != nil {
			t.Fatalf("%s: %v", sql, refusal)
		}
	}
	if _, refusal := r.tryExec(sqlRequest(ns, "", "create table u as select * from t")); refusal == nil {
		t.Fatal("a table was made over the quota")
	}
	if _, refusal := r.tryExec(sqlRequest(ns, "", "drop table t")); refusal != nil {
		t.Fatal(refusal)
	}
	if _, left := r.s.SQLDatabaseGet(nil, ns, "default"); left.UsedBytes > d.UsedBytes/4 {
		t.Fatalf("%d bytes are used after all was dropped", left.UsedBytes)
	}
	r.quota(50_000, 0)
	r.exec("", "create table t(a)", "insert into t values(1)")
}

func TestQuotaOfDatabases(t *testing.T) {
	r := newSQLRig(t)
	r.quota(0, 2)
	wantQuota(t, "one", r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: "a"}), false)
	r.exec("", "create table t(a)")
	wantQuota(t, "a third", r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: "b"}), true)
	wantQuota(t, "a third, if it is missing", r.database(structs.SQLDatabaseEnsure, structs.SQLDatabase{Name: "b"}), true)
	wantQuota(t, "one that is there", r.database(structs.SQLDatabaseEnsure, structs.SQLDatabase{Name: "a"}), false)
	wantQuota(t, "drop", r.database(structs.SQLDatabaseDrop, structs.SQLDatabase{Name: "a"}), false)
	wantQuota(t, "again two", r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: "b"}), false)
}

// TestQuotaIsDecidedAsBeforeAfterACrash: when entries are applied again over files that have some of them already, the sizes of
// the past decide, not those of the files.
func TestQuotaIsDecidedAsBeforeAfterACrash(t *testing.T) {
	const rows = "insert into t select hex(randomblob(100)) from (with recursive c(i) as (select 1 union all select i + 1 from c limit 200) select i from c)"
	at := map[string]string{} // what crashes would have left
	var said []string
	work := func(r *rig, crash bool) {
		note := func(refusal *structs.Error) {
			if crash && refusal != nil {
				said = append(said, refusal.Kind.String())
			} else if crash {
				said = append(said, "done")
			}
		}
		note(r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: "b"}))
		for _, db := range []string{"", "b"} {
			_, refusal := r.tryExec(sqlRequest(ns, db, "create table t(a)"))
			note(refusal)
		}
		r.quota(300_000, 0)
		for i := range 12 { // together they want twice the quota
			if crash && i%5 == 0 {
				at[strconv.Itoa(i)] = crashed(t, r.s)
			}
			_, refusal := r.tryExec(sqlRequest(ns, []string{"", "b"}[i%2], rows))
			note(refusal)
			note(r.trySet("k"+strconv.Itoa(i), strings.Repeat("v", 9000)))
			if i == 8 {
				_, refusal := r.tryExec(sqlRequest(ns, "b", "delete from t where rowid % 3 > 0"))
				note(refusal)
			}
		}
		if crash {
			at["end"] = crashed(t, r.s)
		}
	}
	r := openLeftBehind(t, filepath.Join(t.TempDir(), "sql"), "boot 1")
	work(r, true)
	want := everything(t, r.s)
	if n := strings.Count(strings.Join(said, " "), "quota"); n < 3 || n > 20 {
		t.Fatalf("the work shows nothing: %v", said)
	}
	for nameA, dirA := range at {
		for nameB, dirB := range at {
			dir := t.TempDir()
			mix(t, dir, dirA, dirB)
			again := openLeftBehind(t, dir, "boot 1")
			work(again, false)
			if got := everything(t, again.s); got != want {
				t.Errorf("default as of %s, b as of %s: it is now\n%.3000s\nbut was\n%.3000s", nameA, nameB, got, want)
			}
		}
	}
}

func TestUsageSurvivesARestore(t *testing.T) {
	r := newRig(t)
	r.set("a", strings.Repeat("v", 999))
	snap := r.s.Snapshot()
	defer snap.Release()
	s := New()
	err := s.Restore(func(to *Restorer) error {
		return errors.Join(to.Entry(snap.Index(), snap.Time()), snap.Namespaces(to.Namespace), snap.KVs(to.KV))
	})
	if err != nil {
		t.Fatal(err)
	}
	again := &rig{t: t, s: s, index: r.index}
	again.quota(2000, 0)
	wantQuota(t, "beyond", again.trySet("b", strings.Repeat("v", 1000)), true)
	wantQuota(t, "within", again.trySet("b", strings.Repeat("v", 999)), false)
	again.entry(func(tx *Txn) {
		tx.KV(&structs.KVRequest{WriteOptions: structs.WriteOptions{Namespace: ns}, Op: structs.KVDeleteTree})
	})
	wantQuota(t, "after all was deleted", again.trySet("b", strings.Repeat("v", 1999)), false)
}

// TestReplayFromFartherBackThanSizesAreKept: a large database is snapshotted seldom, and sizes are kept for a bounded number
// of entries. Such a file is made again from the snapshot; it would end the start else.
func TestReplayFromFartherBackThanSizesAreKept(t *testing.T) {
	work := func(r *rig) {
		for i, skip := range []uint64{0, 0, 1 << 17, 0} {
			r.index += skip
			r.exec("", manyRows)
			if r.s.Index() != r.index {
				t.Fatalf("entry %d of the work could not be applied", i)
			}
		}
	}
	r := openLeftBehind(t, filepath.Join(t.TempDir(), "sql"), "boot 1")
	r.exec("", "create table t(a)")
	r.exec("", manyRows)
	snap := r.s.Snapshot()
	defer snap.Release()
	work(r)
	again := openLeftBehind(t, crashed(t, r.s), "boot 1")
	resume(t, again, snap, true)
	work(again)
	_, was := r.s.SQLDatabaseGet(nil, ns, "default")
	if _, is := again.s.SQLDatabaseGet(nil, ns, "default"); *is != *was {
		t.Errorf("it is now %+v, but was %+v", is, was)
	}
	if got := read(t, again.s, "", "select count(*) from t"); got != "5000\n" {
		t.Errorf("%s rows", got)
	}
}

func TestQuotaCountsWhatComesAtTheSameTime(t *testing.T) {
	r := newSQLRig(t)
	r.quota(10_000, 0)
	step := func(id string, op structs.SQLUploadOp, at int64, size int) (refusal *structs.Error) {
		r.entry(func(tx *Txn) {
			var err error
			_, refusal, err = tx.SQLUpload(&structs.SQLUploadRequest{WriteOptions: structs.WriteOptions{Namespace: ns}, ID: id, Op: op, Offset: at, Data: make([]byte, size)})
			if err != nil {
				t.Fatal(err)
			}
		})
		return refusal
	}
	for _, id := range []string{"a", "b"} {
		wantQuota(t, "begin", step(id, structs.SQLUploadBegin, 0, 0), false)
		wantQuota(t, "a piece", step(id, structs.SQLUploadAppend, 0, 4000), false)
	}
	wantQuota(t, "a key", r.trySet("k", strings.Repeat("v", 3000)), true)
	wantQuota(t, "more of the one", step("a", structs.SQLUploadAppend, 4000, 1500), false)
	wantQuota(t, "as much of the other", step("b", structs.SQLUploadAppend, 4000, 1500), true)
	wantQuota(t, "the other is dropped", step("b", structs.SQLUploadDrop, 0, 0), false)
	wantQuota(t, "the rest of the one", step("a", structs.SQLUploadAppend, 5500, 4500), false)
	wantQuota(t, "more than all", step("a", structs.SQLUploadAppend, 10_000, 1), true)
}
