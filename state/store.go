// Package state is what a server knows: the replicated tables of key-value pairs, sessions, locks,
// nodes, namespaces, settings and the list of databases, in memory, in go-memdb; and the databases
// themselves, in SQLite files.
//
// Contract: one writer (the FSM) applies each Raft log entry as one transaction (Begin … Commit);
// any number of readers see whole entries only. What a transaction does depends on the stamp, the
// commands and the tables, never on a clock, chance, the environment or map order, so every replica
// that applied the same entries holds the same rows. Rows that readers get are shared and must not
// be changed. DESIGN.md has the index rules and the reasons.
package state

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

// Store holds the state of one server. Reads may come from any goroutine; Begin, Restore and all of
// Txn belong to one.
type Store struct {
	current atomic.Pointer[epoch]
	dbs     databaseDir
}

// epoch is one life of the tables: Restore begins the next one.
type epoch struct {
	db      *memdb.MemDB
	abandon chan struct{} // closed when the next epoch has begun
	files   *sqlFiles     // nil in a store without databases
}

// New returns a store that is empty but for the default namespace. It keeps no databases before OpenDatabases.
func New() *Store {
	db := newDB()
	tx := db.Txn(true)
	insertDefaultNamespace(tx)
	tx.Commit()
	s := &Store{}
	s.current.Store(&epoch{db: db, abandon: make(chan struct{})})
	return s
}

func newDB() *memdb.MemDB {
	db, err := memdb.NewMemDB(schema())
	must(err)
	return db
}

// view is one consistent sight of the tables.
type view struct{ tx *memdb.Txn }

// view opens a view; ws also gets the watch that fires when Restore replaces everything.
func (s *Store) view(ws memdb.WatchSet) view {
	e := s.current.Load()
	ws.Add(e.abandon)
	return view{e.db.Txn(false)}
}

// AbandonCh is closed when Restore has replaced the tables that are current now. Every read with a
// watch set has it in there already.
func (s *Store) AbandonCh() <-chan struct{} { return s.current.Load().abandon }

// Index is the Raft index of the last entry committed to the store; 0 before the first.
func (s *Store) Index() uint64 { return s.view(nil).lastEntry().Index }

// Time is the time of the last entry, which never goes backwards; the Unix epoch before the first.
func (s *Store) Time() time.Time { return time.Unix(0, s.view(nil).lastEntry().Time).UTC() }

// Restore replaces everything by what load puts into the Restorer, at once and only if load returns
// nil; readers see the old tables until then. Watches of the old tables fire afterwards.
func (s *Store) Restore(load func(*Restorer) error) error {
	db := newDB()
	files, err := s.dbs.next()
	if err != nil {
		return fmt.Errorf("restore state: %w", err)
	}
	r := &Restorer{tx: db.Txn(true), files: files}
	defer r.tx.Abort() // does nothing after a commit
	err = load(r)
	if err == nil {
		err = s.dbs.settle()
	}
	if err != nil {
		files.close(true)
		return fmt.Errorf("restore state: %w", err)
	}
	s.begin(db, r, files).close(true)
	return nil
}

// Resume is Restore for a start with databases left behind, of which CanResume has said that they belong to what is
// restored: those that are not older than their rows stay. After an error they are of no use any more.
func (s *Store) Resume(load func(*Restorer) error) error {
	db := newDB()
	files := s.current.Load().files
	r := &Restorer{tx: db.Txn(true), files: files, keep: true}
	defer r.tx.Abort() // does nothing after a commit
	if err := load(r); err != nil {
		return fmt.Errorf("resume state: %w", err)
	}
	s.begin(db, r, files)
	return nil
}

// begin shows what was restored and returns the files of the life that ends, which may be the same.
func (s *Store) begin(db *memdb.MemDB, r *Restorer, files *sqlFiles) (old *sqlFiles) {
	if first[structs.NamespaceInfo](nil, r.tx, tableNamespaces, indexID, []byte(structs.DefaultNamespace)) == nil {
		insertDefaultNamespace(r.tx)
	}
	writeUsage(r.tx, r.used)
	r.tx.Commit()
	e := s.current.Swap(&epoch{db: db, abandon: make(chan struct{}), files: files})
	close(e.abandon)
	return e.files
}
