package sqldb

import (
	"context"
	"os"
	"testing"
	"time"
)

// TestALongLogIsMovedBesideTheWriter: a pin has held the log for long; no commit may pay for that.
func TestALongLogIsMovedBesideTheWriter(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
	pin, err := r.db.Pin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		r.must("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 1000) INSERT INTO t (b) SELECT randomblob(4000) FROM c")
	}
	long := r.db.w.frames
	if long < 8000 {
		t.Fatalf("a log of %d frames: the pin does not hold it", long)
	}
	before, err := os.Stat(r.db.path)
	if err != nil {
		t.Fatal(err)
	}
	pin.Release()
	m := &r.db.log
	for deadline := time.Now().Add(time.Minute); ; {
		had, mark := m.frames, m.moved
		r.must("UPDATE t SET b = 1 WHERE a = 1")
		if m.frames < had {
			break
		}
		if found := int(m.found.Load()); m.moved-max(mark, found) > 256 {
			t.Fatalf("a commit moved %d frames", m.moved-mark)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log has %d frames and does not begin again; %d are moved", m.frames, m.moved)
		}
	}
	if after, err := os.Stat(r.db.path); err != nil || after.Size() < before.Size()+30e6 {
		t.Fatalf("the file has %d bytes, had %d, %v", after.Size(), before.Size(), err)
	}
	expect(t, r.query("SELECT b FROM t WHERE a = 1"), "1")
}

func TestAReaderThatHoldsTheLogIsNotAskedAtEachCommit(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)")
	reader, err := r.db.openReader()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Int64("SELECT count(*) FROM t"); err != nil {
		t.Fatal(err)
	}
	if err := reader.do("BEGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.ask("SELECT count(*) FROM t", nil); err != nil {
		t.Fatal(err)
	}
	r.must("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 3000) INSERT INTO t SELECT randomblob(4000) FROM c")
	r.db.log.wait()
	runs := 0
	for again := r.db.log.again; r.db.w.frames < 3500; {
		r.must("INSERT INTO t VALUES (randomblob(4000))")
		r.db.log.wait()
		if r.db.log.again != again {
			runs, again = runs+1, r.db.log.again
		}
	}
	if runs > 500/(logStepBytes/4096)+1 {
		t.Fatalf("%d attempts for %d frames", runs, 500)
	}
	reader.close()
	for deadline := time.Now().Add(time.Minute); r.db.w.frames > 500; {
		r.must("INSERT INTO t VALUES (1)")
		if time.Now().After(deadline) {
			t.Fatalf("the log has %d frames and does not begin again", r.db.w.frames)
		}
	}
}
