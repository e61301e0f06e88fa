package state

import (
	"os"
	"path/filepath"

	"github.com/debros/debros/structs"
)

// DatabaseCopy is a database as a file that a snapshot keeps on this server's disk. While nothing writes to the database
// the next snapshot shares that file instead of a copy of its own.
type DatabaseCopy struct {
	File      string // its name among the snapshot's files
	SizeBytes int64
	SHA256    []byte
	Applied   uint64 // the last entry that is in it
	Shared    int    // how many snapshots have taken it over from the one before

	snapshot string // that has it
}

// copySharedMax bounds how often a file is taken over before it is written again from the database: the disk may have
// changed a bit of it meanwhile, and then every snapshot would have the same damage.
const copySharedMax = 100

// Copy is what an earlier snapshot keeps of a database of this one, and the name of that snapshot; nil when the database
// was written to since, or was never copied.
func (s *Snapshot) Copy(d *structs.SQLDatabase) (*DatabaseCopy, string) {
	if s.sql == nil {
		return nil, ""
	}
	c := s.sql.pins[databaseFile(d)].copy
	if c == nil {
		return nil, ""
	}
	next := *c
	next.Shared++
	return &next, c.snapshot
}

// CopyName is how the file of a database is called among a snapshot's.
func CopyName(d *structs.SQLDatabase) string { return databaseFile(d) }

// Kept says that the snapshot of that id, now on disk for good, keeps these copies, by CopyName.
func (s *Snapshot) Kept(id string, copies map[string]*DatabaseCopy) {
	if s.sql == nil {
		return
	}
	files := s.sql.files
	files.mu.Lock()
	defer files.mu.Unlock()
	for name, c := range copies {
		if p := s.sql.pins[name]; p != nil && !p.changed {
			kept := *c
			kept.snapshot = id
			files.copies[name] = &kept
		}
	}
}

// Lost says that the file of a copy cannot be used: the next snapshot writes the database.
func (s *Snapshot) Lost(d *structs.SQLDatabase) {
	s.sql.files.mu.Lock()
	delete(s.sql.files.copies, databaseFile(d))
	s.sql.files.mu.Unlock()
}

// UncopiedBytes is about how much a snapshot would write of databases now: those of which the last one has a copy cost
// nothing.
func (s *Store) UncopiedBytes() (sum int64) {
	files := s.current.Load().files
	if files == nil {
		return 0
	}
	for d := range scan[structs.SQLDatabase](nil, s.view(nil).tx, tableDatabases, indexID, nil) {
		name := databaseFile(d)
		files.mu.Lock()
		copied := files.copies[name] != nil
		files.mu.Unlock()
		if !copied {
			sum += max(fileBytes(filepath.Join(files.dir, name)), fileBytes(filepath.Join(files.dir, name+"-wal")))
		}
	}
	return sum
}

// fileBytes is 0 for a file that is not there.
func fileBytes(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}

// hasCopy notes what a restored snapshot keeps of a database whose file is in the same state.
func (s *sqlFiles) hasCopy(d *structs.SQLDatabase, c DatabaseCopy, snapshot string) {
	c.snapshot = snapshot
	s.mu.Lock()
	s.copies[databaseFile(d)] = &c
	s.mu.Unlock()
}
