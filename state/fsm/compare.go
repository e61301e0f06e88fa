package fsm

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/debros/debros/state"
	"github.com/debros/debros/state/sqldb"
	"github.com/debros/debros/structs"
)

// HashFormat names what decides how a state is hashed, beside the build that wrote its rows.
func HashFormat() string {
	return fmt.Sprintf("hash 1, fsm %d, stream %d, %s", structs.FSMVersion, snapshotVersion, sqldb.EngineVersion)
}

// OnCompare sets what is called right after each entry that asks for a comparison of the replicas, by the goroutine that
// applies. It must not block. To have the state at that entry it calls pin before it returns; most entries that
// are applied again after a start are no longer of interest. It is set before Raft starts.
func (f *FSM) OnCompare(take func(pin func() *Pinned)) { f.compare = take }

// asksForComparison reports whether an entry that gave these results has CommandVerify.
func asksForComparison(results []structs.CommandResult) bool {
	for _, r := range results {
		if _, ok := r.Reply.(*structs.VerifyReply); ok {
			return true
		}
	}
	return false
}

// Pinned is the state right after an entry, while the FSM goes on. Release must end it. One goroutine uses it.
type Pinned struct {
	Index uint64
	Time  time.Time
	view  *state.Snapshot
}

func (f *FSM) pin() *Pinned {
	v := f.store.Sight()
	return &Pinned{Index: v.Index(), Time: v.Time(), view: v}
}

// Release lets go of the databases. Twice is fine.
func (p *Pinned) Release() { p.view.Release() }

// Tables gives the hash of each table to each, in a fixed order: of the rows as a snapshot stream would have them, so it covers
// all that a replica could be restored from. The list of databases is one of the tables. rest is called now and then.
func (p *Pinned) Tables(rest func(), each func(name, hash string)) error {
	tables := append(tablesOf(p.view),
		streamTable{recordDatabase, func(rw *recordWriter) error { return p.view.Databases(rows[structs.SQLDatabase](rw, recordDatabase)) }},
		streamTable{recordCluster, func(rw *recordWriter) error { return writeCluster(rw, p.view.Cluster()) }},
	)
	for _, t := range tables {
		rw, err := newRecordWriter(resting(rest)) // it sums up what it writes
		if err == nil {
			err = t.write(rw)
		}
		if err != nil {
			return fmt.Errorf("hash table %s: %w", t.of.table(), err)
		}
		each(t.of.table(), hex.EncodeToString(rw.sum.Sum(nil)))
	}
	return nil
}

// resting is a writer that keeps nothing and rests between what it is given.
type resting func()

// Write implements io.Writer.
func (r resting) Write(b []byte) (int, error) {
	r()
	return len(b), nil
}

// Databases calls each for the row of every database.
func (p *Pinned) Databases(each func(*structs.SQLDatabase) error) error {
	return p.view.Databases(each)
}

// Database is the hash of what a database holds, once; see state.Snapshot.Fingerprint for its errors.
func (p *Pinned) Database(ctx context.Context, d *structs.SQLDatabase, rest func()) (string, error) {
	sum, err := p.view.Fingerprint(ctx, d, rest)
	return hex.EncodeToString(sum[:]), err
}
