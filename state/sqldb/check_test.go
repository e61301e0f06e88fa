package sqldb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"testing"
)

func fingerprintOf(t *testing.T, r *replica) (sum [32]byte, err error) {
	t.Helper()
	pin, err := r.db.Pin(context.Background())
	if err != nil {
		return sum, err
	}
	defer pin.Release()
	return pin.Fingerprint(context.Background())
}

// onDisk changes bytes behind SQLite's back, wherever old stands in the file of a database and in its log; nothing else
// is written meanwhile. change gets the page with the place of old in it.
func onDisk(t *testing.T, path, old string, change func(page []byte, at int)) {
	t.Helper()
	found := 0
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) < 100 {
			continue
		}
		begin, head, size := 0, 0, int(binary.BigEndian.Uint16(data[16:]))
		if suffix == "-wal" {
			begin, head, size = 32, 24, int(binary.BigEndian.Uint32(data[8:]))
		}
		for at := begin + head; at+size <= len(data); at += head + size {
			page := data[at : at+size]
			if i := bytes.Index(page, []byte(old)); i >= 0 {
				change(page, i)
				found++
			}
		}
		f, err := os.OpenFile(path+suffix, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(data, 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if found == 0 {
		t.Fatalf("%q is nowhere in %s", old, path)
	}
}

func TestFingerprintSeesWhatTheDiskDid(t *testing.T) {
	open := func(t *testing.T) *replica {
		r := newReplica(t, Options{})
		r.must("CREATE TABLE t (id INTEGER PRIMARY KEY, a)", "CREATE INDEX i ON t (upper(a))",
			"CREATE VIRTUAL TABLE f USING fts5 (words)", "INSERT INTO t (a) VALUES ('in the table'), ('other')", "INSERT INTO f VALUES ('some words to find')")
		return r
	}
	good, err := fingerprintOf(t, open(t))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := fingerprintOf(t, open(t)); err != nil || again != good {
		t.Fatalf("two replicas differ: %v", err)
	}
	flip := func(page []byte, at int) { page[at+3] ^= 1 }
	for _, c := range []struct {
		name, old string
		change    func([]byte, int)
		damaged   bool
	}{
		{"a value", "in the table", flip, false},
		{"an index, which no row shows", "IN THE TABLE", flip, false},
		{"the schema", "CREATE INDEX i ON t (upper(a))", func(page []byte, at int) { copy(page[at:], "CREATE INDEX i ON t (lower(a))") }, false},
		{"the kind of a page", "in the table", func(page []byte, _ int) { page[0] = 77 }, true},
		{"the number of cells of a page", "in the table", func(page []byte, _ int) { page[4]++ }, true},
		{"a page that is all zero", "IN THE TABLE", func(page []byte, _ int) { clear(page) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(t)
			onDisk(t, r.path, c.old, c.change)
			sum, err := fingerprintOf(t, r)
			if c.damaged != Damaged(err) || !c.damaged && err != nil {
				t.Fatalf("damage %v: %v", c.damaged, err)
			}
			if sum == good {
				t.Fatal("the fingerprint is that of before")
			}
			t.Log(err)
		})
	}
}

func TestFingerprintEndsWithItsContext(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)", "INSERT INTO t SELECT i FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 20000) SELECT i FROM c)")
	pin, err := r.db.Pin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer pin.Release()
	ctx, cancel := context.WithCancel(t.Context())
	rested := 0
	pin.Pace(func() {
		if rested++; rested == 3 {
			cancel()
		}
	})
	if _, err := pin.Fingerprint(ctx); err == nil || Damaged(err) {
		t.Fatalf("%v", err)
	}
	if rested < 3 || !errors.Is(ctx.Err(), context.Canceled) {
		t.Fatalf("rested %d times", rested)
	}
}
