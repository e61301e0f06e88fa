package sqldb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
)

// place is a kind of operation on a kind of file.
type place struct {
	op   sqlite.FileOp
	file string // "db", "wal" or "temp"
}

// disk fails operations on files when it is told to.
type disk struct {
	mu    sync.Mutex    // protects the following
	seen  map[place]int // operations asked of it
	at    place
	nth   int  // the one at that place which fails first; 0 = none
	stays bool // everything after it fails too
	err   error
	hits  int  // operations that failed
	over  bool // nothing fails or is counted any more
}

func (d *disk) fault(op sqlite.FileOp, path string) error {
	p := place{op, "db"}
	switch {
	case path == "" || strings.HasPrefix(filepath.Base(path), TempPrefix):
		p.file = "temp"
	case strings.HasSuffix(path, "-wal"):
		p.file = "wal"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return nil
	}
	d.seen[p]++
	if first := d.nth > 0 && p == d.at && d.seen[p] == d.nth; !first && !(d.stays && d.hits > 0) {
		return nil
	}
	d.hits++
	return &os.PathError{Op: string(op), Path: path, Err: d.err}
}

func (d *disk) repair() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nth, d.stays, d.over = 0, false, true
}

func newDisk() *disk { return &disk{err: syscall.EIO, seen: map[place]int{}} }

const fill = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT %d) "

// faultyWork has something of everything that uses files: a sort and a journal that spill, a rebuild, rolled back
// savepoints, virtual tables, a log that is moved into the file. Each is an entry of two requests.
var faultyWork = [][2]*structs.SQLRequest{
	{request("CREATE TABLE t (id INTEGER PRIMARY KEY, v, w UNIQUE)"), request("CREATE VIRTUAL TABLE ft USING fts5(body)", "CREATE VIRTUAL TABLE rt USING rtree(id, x0, x1)")},
	{request("INSERT INTO t SELECT i, hex(randomblob(310)), i FROM (" + fmt.Sprintf(fill, 7000) + "SELECT i FROM c)"), request("INSERT INTO t VALUES (1, 'twice', -1)")},
	{request("CREATE INDEX tv ON t (v)"), request("INSERT INTO ft SELECT substr(v, 1, 40) FROM t LIMIT 500", "INSERT INTO rt SELECT id, id, id + 1 FROM t LIMIT 200")},
	{request("UPDATE t SET v = v || id WHERE id % 2 = 0 RETURNING id"), whole("UPDATE t SET v = '' WHERE id < 900", "INSERT INTO t VALUES (1, 1, 1)")},
	{request("INSERT INTO t(v) SELECT 1 FROM t a, t b, t c"), request("DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY v DESC LIMIT 1000)", "ANALYZE")},
	{request("CREATE TABLE u AS SELECT DISTINCT v || w AS x FROM t", "DROP TABLE t"), request("INSERT INTO ft(ft) VALUES ('optimize')", "SELECT count(*) FROM ft WHERE ft MATCH 'A*'")},
}

func whole(sql ...string) *structs.SQLRequest {
	r := request(sql...)
	r.Transaction = true
	return r
}

// runFaulty applies the work from entry from on until a local fault, and returns what was answered to each entry.
func (r *replica) runFaulty(from int) (answers []string, err error) {
	for i := from; i < len(faultyWork); i++ {
		tx, err := r.db.Begin(stampOf(uint64(i + 1)))
		if err != nil {
			return answers, err
		}
		said := ""
		for _, req := range faultyWork[i] {
			req.WorkMax = 300_000
			rep, refusal, err := tx.Execute(req)
			if err != nil {
				return answers, errors.Join(err, tx.Rollback())
			}
			said += show(r.t, rep, refusal) + "\n"
		}
		if err := tx.Commit(); err != nil {
			return answers, err
		}
		answers = append(answers, said)
	}
	return answers, nil
}

func (r *replica) hash() string {
	r.t.Helper()
	pin, err := r.db.Pin(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	defer pin.Release()
	sum, err := pin.Hash(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum)
}

// TestEveryFileOperationThatFailsIsAFaultAndNeverAnAnswer fails the n-th operation on files, for many n: alone or with all
// after it. What was answered until then is what a sound disk answers, and once the disk is repaired the file is at
// one of the entries and goes on from there.
func TestEveryFileOperationThatFailsIsAFaultAndNeverAnAnswer(t *testing.T) {
	sound := newDisk()
	ref := newFaultyReplica(t, sound)
	hashes := []string{ref.hash()}
	var want []string
	for i := range faultyWork {
		all := faultyWork
		faultyWork = all[:i+1]
		got, err := ref.runFaulty(i)
		faultyWork = all
		if err != nil {
			t.Fatal(err)
		}
		want, hashes = append(want, got...), append(hashes, ref.hash())
	}
	if err := ref.db.Close(); err != nil {
		t.Fatal(err)
	}
	sound = newDisk() // without the looks at the rows in between
	checkFaulty(t, "a sound disk", sound, want, hashes)
	t.Logf("a sound disk is asked: %v", sound.seen)
	var places []place
	for _, op := range []sqlite.FileOp{sqlite.FileOpen, sqlite.FileRead, sqlite.FileWrite} {
		for _, file := range []string{"db", "wal", "temp"} {
			if sound.seen[place{op, file}] == 0 {
				t.Errorf("the work never does %s %s", op, file)
			}
		}
	}
	for p := range sound.seen {
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b place) int { return strings.Compare(string(a.op)+a.file, string(b.op)+b.file) })
	runs := 4
	if os.Getenv("DEBROS_SYSTEM_TESTS") != "" {
		runs = 1000
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("DEBROS_TEST_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("DEBROS_TEST_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	missed := 0
	for range runs {
		d := newDisk()
		d.at = places[rnd.IntN(len(places))]
		d.nth, d.stays = 1+rnd.IntN(sound.seen[d.at]), rnd.IntN(2) == 0
		d.err = []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS}[rnd.IntN(3)]
		name := fmt.Sprintf("%s %s no. %d: %v, stays: %v", d.at.op, d.at.file, d.nth, d.err, d.stays)
		checkFaulty(t, name, d, want, hashes)
		if d.hits == 0 { // what moves the log beside the writer has its own pace
			t.Logf("%s: was not reached", name)
			missed++
		}
	}
	if missed > runs/2 {
		t.Errorf("%d of %d operations to fail were not reached", missed, runs)
	}
}

func newFaultyReplica(t *testing.T, d *disk) *replica {
	t.Helper()
	dir := t.TempDir()
	e, err := NewEngine(EngineOptions{TempDir: dir, Fault: d.fault})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{t: t, e: e, path: filepath.Join(dir, "a.db")}
	t.Cleanup(func() {
		if r.db != nil {
			r.db.Close()
		}
		e.Close()
	})
	if r.db, err = e.Open(r.path, Options{}); err != nil && d.hits == 0 {
		t.Fatal(err)
	}
	return r
}

func checkFaulty(t *testing.T, name string, d *disk, want, hashes []string) {
	t.Helper()
	r := newFaultyReplica(t, d)
	var got []string
	var err error
	if r.db != nil {
		got, err = r.runFaulty(0)
		if err == nil && len(got) != len(want) {
			t.Fatalf("%s: no fault and %d answers", name, len(got))
		}
		if err != nil && d.hits == 0 {
			t.Fatalf("%s: a fault without a failed operation: %v", name, err)
		}
		_ = r.db.Close() // it may fail for the same reason
	}
	d.repair()
	if !slices.Equal(got, want[:len(got)]) {
		t.Fatalf("%s: answered %q, a sound disk %q", name, got, want[:len(got)])
	}
	r.open()
	index := r.db.AppliedIndex()
	if n := uint64(len(got)); index != n && index != n+1 {
		t.Fatalf("%s: %d entries were answered and the file is at %d", name, n, index)
	}
	if h := r.hash(); h != hashes[index] {
		t.Fatalf("%s: after repair the file is at entry %d with other rows", name, index)
	}
	if d.hits == 0 && index == uint64(len(want)) { // a sound disk: what follows is not the work
		return
	}
	rest, err := r.runFaulty(int(index))
	if err != nil || !slices.Equal(rest, want[index:]) {
		t.Fatalf("%s: after repair: %v, %q, want %q", name, err, rest, want[index:])
	}
	if h := r.hash(); h != hashes[len(hashes)-1] {
		t.Fatalf("%s: after repair it came to other rows", name)
	}
	if err := r.db.Close(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	r.db = nil
}
