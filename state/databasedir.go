package state

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/debros/debros/state/sqldb"
)

// databaseDir is where a store keeps its databases: a directory for each life of the tables, so that a restore fills
// a new one while the old one serves.
type databaseDir struct {
	engine *sqldb.Engine // nil: the store keeps no databases
	path   string
	lives  int // begun so far; only the goroutine that restores changes it
}

// next makes the directory of the next life; nil in a store without databases.
func (d *databaseDir) next() (*sqlFiles, error) {
	if d.engine == nil {
		return nil, nil
	}
	d.lives++
	return newSQLFiles(d.engine, filepath.Join(d.path, strconv.Itoa(d.lives)))
}

// OpenDatabases lets the store keep databases below dir, which it empties: what was there is made again from the
// snapshot and the log. It comes before the first entry. CloseDatabases ends it.
func (s *Store) OpenDatabases(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("empty the directory of the databases: %w", err)
	}
	engine, err := sqldb.NewEngine()
	if err != nil {
		return err
	}
	s.dbs = databaseDir{engine: engine, path: dir}
	files, err := s.dbs.next()
	if err != nil {
		return err
	}
	e := *s.current.Load()
	e.files = files
	s.current.Store(&e)
	return nil
}

// CloseDatabases closes the databases; queries that still run keep theirs until they end. It comes after the last
// entry and may be called twice.
func (s *Store) CloseDatabases() error {
	files := s.current.Load().files
	if files == nil {
		return nil
	}
	files.close(false)
	return s.dbs.engine.Close()
}

// CheckDatabase reads a database's file and says whether a Restorer would take it; a *structs.Error says what is wrong
// with it. The file passes through the system's place for temporary ones.
func CheckDatabase(r io.Reader) error {
	dir, err := os.MkdirTemp("", "debros-check-")
	if err != nil {
		return fmt.Errorf("check a database: %w", err)
	}
	defer os.RemoveAll(dir)
	return sqldb.Install(filepath.Join(dir, "db"), r)
}
