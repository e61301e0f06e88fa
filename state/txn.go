package state

import (
	"math"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

// Txn applies the commands of one Raft log entry. Nothing of it is seen by readers before Commit.
// A command that is refused has changed nothing.
type Txn struct {
	tx    *memdb.Txn
	base  *memdb.Txn // the tables as they were before this entry
	index uint64
	now   int64 // Unix nanoseconds, never before the entry before

	// kv holds the key-value rows that this entry wrote, by primary key; nil = deleted. Reading
	// through the write transaction instead would make go-memdb clone the index and copy its
	// path again at the next write.
	kv      map[string]*structs.KVPair
	touched map[touchedTable]bool

	// The same for streams, their messages and the ids of these.
	streams    map[string]*structs.Stream
	messages   map[string]*structs.StreamMessage
	published  map[string]*structs.StreamPublication
	remembered map[string]int // ids that came, by stream

	grown    map[structs.Namespace]int64 // bytes by which keys, values and messages have grown
	baseUsed map[structs.Namespace]int64 // what quotas count, before this entry; filled when first asked

	recording bool
	undo      []func()

	seed     uint64
	files    *sqlFiles            // nil in a store without databases
	sql      map[string]*sqlWrite // databases that this entry wrote, by file
	sqlOrder []*sqlWrite          // the same, in the order in which it met them
	txns     int                  // transaction commands of this entry, the running one not counted
	dropped  []*structs.SQLDatabase
}

type touchedTable struct {
	table string
	ns    structs.Namespace
}

// Begin opens the transaction of one entry. A stamp before Store.Time is taken as Store.Time. It
// must be ended by Commit or Abort before the next Begin, which blocks until then.
func (s *Store) Begin(st structs.Stamp) *Txn {
	e := s.current.Load()
	tx := e.db.Txn(true)
	base := e.db.Txn(false)
	return &Txn{
		tx:      tx,
		base:    base,
		index:   st.Index,
		now:     max(unixNano(st.Time), view{base}.lastEntry().Time),
		kv:      map[string]*structs.KVPair{},
		touched: map[touchedTable]bool{},
		seed:    st.Seed,
		files:   e.files,
	}
}

// unixNano is 0 for the zero time, which is outside of what int64 nanoseconds can say.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Commit makes the entry visible, moves Store.Index and Store.Time, and wakes watchers. SQLite commits first, since it
// can fail; go-memdb cannot. An error is a fault of this server's own, and the tables are as they were before.
func (t *Txn) Commit() error {
	for _, d := range t.dropped {
		if err := t.files.pinForSnapshots(databaseFile(d)); err != nil {
			return err
		}
	}
	if err := t.commitSQL(); err != nil {
		return err
	}
	t.forgetAged()
	t.writeStreams()
	t.writeIndexes()
	writeUsage(t.tx, t.grown)
	t.tx.Commit()
	for _, d := range t.dropped {
		t.files.drop(d)
	}
	return nil
}

// Abort forgets the entry; after Commit it does nothing.
func (t *Txn) Abort() {
	t.abortSQL()
	t.tx.Abort()
}

// until is the moment d after this entry, which does not overflow.
func (t *Txn) until(d time.Duration) int64 {
	if t.now > 0 && int64(d) > math.MaxInt64-t.now {
		return math.MaxInt64
	}
	return t.now + int64(d)
}

// replace is the one way rows are written: before is the row as it is (nil: there is none), after
// what it becomes (nil: it is deleted).
func replace[T any](t *Txn, table string, before, after *T) {
	put(t.tx, table, before, after)
	if t.recording { // asked here too: otherwise every write would allocate a closure for nothing
		t.onUndo(func() { put(t.tx, table, after, before) })
	}
}

func put[T any](tx *memdb.Txn, table string, before, after *T) {
	if after != nil {
		must(tx.Insert(table, after))
		return
	}
	must(tx.Delete(table, before))
}

// onUndo remembers how to take back what was just done. Only a transaction of several operations
// needs it: other commands decide before they write.
func (t *Txn) onUndo(f func()) {
	if t.recording {
		t.undo = append(t.undo, f)
	}
}

// atomically runs f and takes back everything it wrote, to tables and databases, unless it returns true. An error is
// a fault of this server's own, and only Abort may follow it.
func (t *Txn) atomically(f func() (keep bool, err error)) error {
	t.recording = true
	keep, err := f()
	t.recording = false
	for i := len(t.undo) - 1; i >= 0 && !keep; i-- {
		t.undo[i]()
	}
	t.undo = nil
	if err != nil {
		return err
	}
	return t.settleSQL(keep)
}

// view reads what this entry has written so far.
func (t *Txn) view() view { return view{t.tx} }
