package sqldb

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/debros/debros/structs"
)

// charged is a request as leaders send them now.
func charged(r *structs.SQLRequest) *structs.SQLRequest {
	r.BytesPerStep = structs.SQLBytesPerStep
	return r
}

const usedUp = "error: invalid: the values of an AUTOINCREMENT column, or the segments of an FTS5 table, are used up"

// TestUsedUpAutoincrementIsRefused: SQLite says "database or disk is full", which of a disk would stop the server.
func TestUsedUpAutoincrementIsRefused(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, v)", "INSERT INTO a VALUES (NULL, 0)")
	const no = "error: invalid: the rowid 9223372036854775807 is not allowed: SQLite would choose the next one at random"
	expect(t, r.exec("INSERT INTO a VALUES (2, 2)", "INSERT INTO a VALUES (9223372036854775807, 3), (NULL, 4)", "INSERT INTO a VALUES (NULL, 5)"), "1/2; "+no+"; 1/3")
	expect(t, r.entry(whole("INSERT INTO a VALUES (NULL, 6)", "INSERT OR IGNORE INTO a VALUES (9223372036854775807, 7), (NULL, 8)"))[0], "1/4; "+no)
	expect(t, r.query("SELECT group_concat(v), (SELECT seq FROM sqlite_sequence) FROM a"), `"0,2,5"|3`)
}

// fullFTS makes an FTS5 table f of which the next write that reaches the disk finds no segment.
func fullFTS(t *testing.T) *replica {
	r := newReplica(t, Options{})
	r.must("CREATE VIRTUAL TABLE f USING fts5(c)", "CREATE TABLE t (v)", "INSERT INTO f(f, rank) VALUES ('automerge', 0), ('crisismerge', 1999)")
	for i := range 3997 {
		if out := r.entry(charged(request("INSERT INTO f VALUES ('full')")))[0]; strings.Contains(out, "error") {
			t.Fatalf("%d: %s", i, out)
		}
	}
	return r
}

// TestUsedUpSegmentsAreRefused: FTS5 finds out when it writes what it held back, at the next savepoint or COMMIT.
func TestUsedUpSegmentsAreRefused(t *testing.T) {
	r := fullFTS(t)
	insert := func(n int) string { return fmt.Sprintf("INSERT INTO f VALUES ('more%d')", n) }
	for _, c := range []struct {
		entry []*structs.SQLRequest
		want  string
	}{
		{[]*structs.SQLRequest{request(insert(1))}, usedUp},
		{[]*structs.SQLRequest{request("INSERT INTO t VALUES (1)", insert(2), "INSERT INTO t VALUES (2)")}, "1/1; " + usedUp + "; 1/2"},
		{[]*structs.SQLRequest{request("INSERT INTO t VALUES (3)"), request(insert(3)), request("INSERT INTO t VALUES (4)")}, "1/3|" + usedUp + "|1/4"},
		{[]*structs.SQLRequest{request(insert(4), "INSERT INTO t VALUES (5) RETURNING v", "CREATE TABLE u (a)", "DROP TABLE u")}, usedUp + "; v\n5; 0/0; 0/0"},
		{[]*structs.SQLRequest{request("INSERT INTO t VALUES (6); "+insert(5)+"; -- both or none", insert(6)+"; INSERT INTO t VALUES (7)")}, usedUp + "; " + usedUp},
		{[]*structs.SQLRequest{whole("INSERT INTO t VALUES (8)", insert(7), "INSERT INTO t VALUES (9)"), request("INSERT INTO t VALUES (10)")}, "1/6; " + usedUp + "|1/6"},
	} {
		for _, q := range c.entry {
			charged(q)
		}
		expect(t, strings.Join(r.entry(c.entry...), "|"), c.want)
	}
	expect(t, r.query("SELECT group_concat(v), (SELECT count(*) FROM f) FROM t"), `"1,2,3,4,5,10"|3997`)
	expect(t, r.exec("INSERT INTO f(f) VALUES ('rebuild')"), "1/0") // the hint's way out
	expect(t, r.exec(insert(8)), "1/3998")
	expect(t, r.query("PRAGMA integrity_check"), `"ok"`)
}

// TestAFullDiskIsNotTheLogs: no client is told that its request is wrong when this machine has no room.
func TestAFullDiskIsNotTheLogs(t *testing.T) {
	d := newDisk()
	d.err = syscall.ENOSPC
	r := newFaultyReplica(t, d)
	r.must("CREATE TABLE t (v)")
	d.at, d.nth, d.stays = place{"write", "wal"}, d.seen[place{"write", "wal"}]+1, true
	tx, err := r.db.Begin(structs.Stamp{Index: r.index + 1})
	if err != nil {
		t.Fatal(err)
	}
	_, refusal, err := tx.Execute(charged(request(fmt.Sprintf("INSERT INTO t SELECT randomblob(1000) FROM ("+fill+"SELECT i FROM c)", 30_000))))
	if err == nil && refusal == nil {
		err = tx.Commit()
	}
	if refusal != nil || err == nil || d.hits == 0 {
		t.Errorf("refusal %v, error %v, %d writes failed", refusal, err, d.hits)
	}
	d.repair()
}
