package state

import (
	"container/list"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/debros/debros/state/sqldb"
	"github.com/debros/debros/structs"
)

// openFilesMax bounds how many databases nobody uses stay open: each has a connection with its caches. Those in
// use may be more.
const openFilesMax = 256

// sqlFiles are the SQLite files of one life of the tables, opened when first used. Who uses one holds a reference.
type sqlFiles struct {
	engine *sqldb.Engine
	dir    string

	mu     sync.Mutex // protects the following
	open   map[string]*sqlFile
	idle   *list.List // of *sqlFile without references, the longest idle one first
	closed bool       // no new references
	remove bool       // with closed: the last reference to go removes dir
	snaps  map[*sqlSnapshot]bool
	// copies are what the newest snapshot on disk keeps of databases that nothing has written to since.
	copies map[string]*DatabaseCopy
}

// sqlFile is one database that is open, being opened, or failed to open.
type sqlFile struct {
	name string
	path string

	once sync.Once
	db   *sqldb.DB // after once
	err  error     // after once

	refs    int           // protected by sqlFiles.mu, with the following
	dropped bool          // the file goes when the last reference does
	elem    *list.Element // in sqlFiles.idle, nil while referenced
}

func newSQLFiles(engine *sqldb.Engine, dir string) (*sqlFiles, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the databases: %w", err)
	}
	return &sqlFiles{engine: engine, dir: dir, open: map[string]*sqlFile{}, idle: list.New(), snaps: map[*sqlSnapshot]bool{}, copies: map[string]*DatabaseCopy{}}, nil
}

// errNoSQL: a store that was made without a directory meets SQL. It is a fault, not an answer: the other replicas have one.
var errNoSQL = errors.New("this store keeps no databases: it has no directory")

// acquire opens a database, or takes the open one, and counts the caller in. An error is a local fault.
func (s *sqlFiles) acquire(d *structs.SQLDatabase) (*sqlFile, error) {
	if s == nil {
		return nil, errNoSQL
	}
	name := databaseFile(d)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errReplaced
	}
	f := s.open[name]
	if f == nil {
		f = &sqlFile{name: name, path: filepath.Join(s.dir, name)}
		s.open[name] = f
	}
	f.refs++
	if f.elem != nil {
		s.idle.Remove(f.elem)
		f.elem = nil
	}
	s.mu.Unlock()

	f.once.Do(func() {
		f.db, f.err = s.engine.Open(f.path, optionsOf(d))
	})
	if f.err != nil {
		s.release(f)
		return nil, fmt.Errorf("open database %s of namespace %s: %w", d.Name, d.Namespace, f.err)
	}
	return f, nil
}

func optionsOf(d *structs.SQLDatabase) sqldb.Options {
	return sqldb.Options{
		Name:      string(d.Namespace) + "/" + d.Name, // chance depends on it
		PageBytes: d.PageBytes, DoubleQuotedStrings: d.DoubleQuotedStrings, ForeignKeys: d.ForeignKeys,
	}
}

// notOlder reports whether the file of a database is there, has all that its row tells of, and knows what an entry that is
// applied again must know; and what it has.
func (s *sqlFiles) notOlder(d *structs.SQLDatabase) (applied uint64, ok bool) {
	path := filepath.Join(s.dir, databaseFile(d))
	st, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	if d.Upload != nil {
		return 0, st.Size() >= d.Upload.SizeBytes
	}
	db, err := s.engine.Open(path, optionsOf(d))
	if err != nil {
		return 0, false
	}
	applied = db.AppliedIndex()
	ok = applied >= d.ModifyIndex && db.KnowsSizesFrom(d.ModifyIndex)
	return applied, db.Close() == nil && ok
}

// errReplaced: the tables that the caller looked at are gone since; it looks again.
var errReplaced = errors.New("the state was replaced")

// release counts the caller out. What nobody needs any more is closed, and removed if it was dropped.
func (s *sqlFiles) release(f *sqlFile) {
	s.mu.Lock()
	f.refs--
	var gone []*sqlFile
	switch {
	case f.refs > 0:
	case f.dropped || s.closed || f.err != nil:
		gone = append(gone, s.forget(f))
	default:
		f.elem = s.idle.PushBack(f)
		for s.idle.Len() > openFilesMax {
			gone = append(gone, s.forget(s.idle.Front().Value.(*sqlFile)))
		}
	}
	last := s.remove && len(s.open) == 0
	s.mu.Unlock()
	s.discard(gone, last)
}

// forget takes a file off the books; the lock is held.
func (s *sqlFiles) forget(f *sqlFile) *sqlFile {
	delete(s.open, f.name)
	if f.elem != nil {
		s.idle.Remove(f.elem)
		f.elem = nil
	}
	return f
}

// discard closes files that are off the books, and with last removes the directory. Nothing here can be an answer
// to anybody, and the state does not depend on it, so an error is only wasted room on the disk.
func (s *sqlFiles) discard(gone []*sqlFile, last bool) {
	for _, f := range gone {
		if f.db != nil {
			_ = f.db.Close()
		}
		if f.dropped {
			_ = sqldb.Remove(f.path)
		}
	}
	if last {
		_ = os.RemoveAll(s.dir)
	}
}

// drop makes a database's file go as soon as nobody uses it.
func (s *sqlFiles) drop(d *structs.SQLDatabase) {
	name := databaseFile(d)
	s.mu.Lock()
	delete(s.copies, name)
	f := s.open[name]
	var gone []*sqlFile
	if f != nil {
		f.dropped = true
		if f.refs == 0 {
			gone = append(gone, s.forget(f))
		}
	}
	s.mu.Unlock()
	if f == nil {
		_ = sqldb.Remove(filepath.Join(s.dir, name)) // an error only wastes room
	}
	s.discard(gone, false)
}

// close lets nobody in any more; each file is closed by its last user. With remove the directory goes with the last file.
func (s *sqlFiles) close(remove bool) {
	if s == nil {
		return
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed, s.remove = true, remove
	var gone []*sqlFile
	for s.idle.Len() > 0 {
		gone = append(gone, s.forget(s.idle.Front().Value.(*sqlFile)))
	}
	last := remove && len(s.open) == 0
	s.mu.Unlock()
	s.discard(gone, last)
}
