package state

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/debros/debros/state/sqldb"
	"github.com/debros/debros/structs"
)

// sqlSnapshot is the databases as they are at one moment. Pinning each of them at that moment would hold up the
// FSM for as long as thousands of files take to open; so a database is pinned by who comes first: the
// writer before it changes it, or the reader when its turn has come. Until one of them does, it is unchanged.
type sqlSnapshot struct {
	files *sqlFiles
	pins  map[string]*sqlPin // by file name; the map itself does not change
}

// sqlPin is one database of a snapshot.
type sqlPin struct {
	row    *structs.SQLDatabase
	copy   *DatabaseCopy // of an earlier snapshot, which is used instead of a pin
	once   sync.Once
	file   *sqlFile // after once
	pin    *sqldb.Pin
	upload *os.File // of an upload, in the place of file and pin
	err    error

	changed bool // the database was written to since; protected by sqlFiles.mu
}

// snapshot begins one; release must end it. With copies, what an earlier snapshot keeps of a database stands for it, and
// the database is not held.
func (s *sqlFiles) snapshot(v view, copies bool) *sqlSnapshot {
	if s == nil {
		return nil
	}
	snap := &sqlSnapshot{files: s, pins: map[string]*sqlPin{}}
	for d := range scan[structs.SQLDatabase](nil, v.tx, tableDatabases, indexID, nil) {
		snap.pins[databaseFile(d)] = &sqlPin{row: d}
	}
	s.mu.Lock()
	s.snaps[snap] = true
	for name, p := range snap.pins {
		if c := s.copies[name]; copies && c != nil && c.Shared < copySharedMax {
			p.copy = c
		}
	}
	s.mu.Unlock()
	s.sweep(snap, v.lastEntry().Index)
	return snap
}

// sweep removes files of databases that are gone and whose removal a crash has kept back. A file that an entry after
// index made is not one of them: after a resumed start files may be ahead of the tables.
func (s *sqlFiles) sweep(snap *sqlSnapshot, index uint64) {
	all, _ := filepath.Glob(filepath.Join(s.dir, "*.db"))
	uploads, _ := filepath.Glob(filepath.Join(s.dir, "*"+uploadExt))
	for _, path := range append(all, uploads...) {
		name := filepath.Base(path)
		if snap.pins[name] != nil || name == databaseFile(emptyDatabase()) {
			continue
		}
		parts := strings.Split(strings.TrimSuffix(name, filepath.Ext(name)), ".")
		made, err := strconv.ParseUint(parts[len(parts)-1], 10, 64)
		s.mu.Lock()
		inUse := s.open[name] != nil
		s.mu.Unlock()
		if err == nil && made <= index && !inUse {
			_ = sqldb.Remove(path) // an error only wastes room, and the next snapshot tries again
		}
	}
}

// pinForSnapshots keeps the present state of a database, by its file's name, for the snapshots that have not read it yet:
// it is about to be changed.
func (s *sqlFiles) pinForSnapshots(name string) error {
	s.mu.Lock()
	delete(s.copies, name)
	var pins []*sqlPin
	for snap := range s.snaps {
		if p := snap.pins[name]; p != nil {
			p.changed = true
			if p.copy == nil {
				pins = append(pins, p)
			}
		}
	}
	s.mu.Unlock()
	for _, p := range pins {
		p.take(s)
		if p.err != nil && !errors.Is(p.err, errReplaced) { // that one: the snapshot has just ended
			return p.err
		}
	}
	return nil
}

// take pins the database, once.
func (p *sqlPin) take(files *sqlFiles) {
	p.once.Do(func() {
		if p.row.Upload != nil {
			p.upload, p.err = os.Open(filepath.Join(files.dir, databaseFile(p.row)))
			return
		}
		f, err := files.acquire(p.row)
		if err != nil {
			p.err = err
			return
		}
		pin, err := f.db.Pin(context.Background())
		if err != nil {
			files.release(f)
			p.err = fmt.Errorf("pin database %s of namespace %s: %w", p.row.Name, p.row.Namespace, err)
			return
		}
		p.file, p.pin = f, pin
	})
}

// letGo ends the pin; a later take does nothing.
func (p *sqlPin) letGo(files *sqlFiles) {
	p.once.Do(func() { p.err = errReplaced })
	if p.upload != nil {
		p.upload.Close()
		p.upload = nil
	}
	if p.pin != nil {
		p.pin.Release()
		files.release(p.file)
		p.pin, p.file = nil, nil
	}
}

// writeTo writes one database as a file and lets go of it.
func (snap *sqlSnapshot) writeTo(d *structs.SQLDatabase, w io.Writer) (applied uint64, err error) {
	if snap == nil {
		return 0, errNoSQL
	}
	p := snap.pins[databaseFile(d)]
	if p.copy != nil { // the database may have moved on: nobody held it
		return 0, fmt.Errorf("copy database %s of namespace %s: snapshot %s keeps a copy of it", d.Name, d.Namespace, p.copy.snapshot)
	}
	p.take(snap.files)
	if p.err != nil {
		return 0, p.err
	}
	defer p.letGo(snap.files)
	if p.upload != nil {
		n, err := io.Copy(w, io.NewSectionReader(p.upload, 0, d.Upload.SizeBytes))
		if err == nil && n < d.Upload.SizeBytes {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, fmt.Errorf("copy upload %s of namespace %s: %w", d.Name, d.Namespace, err)
		}
		return 0, nil
	}
	if _, err := p.pin.WriteTo(w); err != nil {
		return 0, fmt.Errorf("copy database %s of namespace %s: %w", d.Name, d.Namespace, err)
	}
	return p.pin.AppliedIndex(), nil
}

// ErrAhead: a database has entries already that the snapshot's tables have not, since it was left behind by a process
// whose log is being applied again. Its state at the snapshot's index is gone.
var ErrAhead = errors.New("the database is ahead of the tables: the log is being applied again")

// ErrReplaced: the databases that were to be read are gone, since a restore replaced the state.
var ErrReplaced = errReplaced

// fingerprint sums up one database and lets go of it. rest is called now and then and may sleep.
func (snap *sqlSnapshot) fingerprint(ctx context.Context, d *structs.SQLDatabase, index uint64, rest func()) ([32]byte, error) {
	if snap == nil {
		return [32]byte{}, errNoSQL
	}
	p := snap.pins[databaseFile(d)]
	p.take(snap.files)
	if p.err != nil {
		return [32]byte{}, p.err
	}
	defer p.letGo(snap.files)
	if p.upload != nil {
		return p.uploadSum(d, rest)
	}
	if p.pin.AppliedIndex() > index {
		return [32]byte{}, ErrAhead
	}
	p.pin.Pace(rest)
	sum, err := p.pin.Fingerprint(ctx)
	if err != nil {
		return sum, fmt.Errorf("read database %s of namespace %s: %w", d.Name, d.Namespace, err)
	}
	return sum, nil
}

// uploadSum sums up what has come of an upload. That less is there than its row says is damage.
func (p *sqlPin) uploadSum(d *structs.SQLDatabase, rest func()) (sum [32]byte, err error) {
	h := sha256.New()
	from := io.NewSectionReader(p.upload, 0, d.Upload.SizeBytes)
	left := d.Upload.SizeBytes
	for left > 0 && err == nil {
		var n int64
		n, err = io.CopyN(h, from, min(left, 1<<20))
		left -= n
		rest()
	}
	if err != nil {
		return sum, fmt.Errorf("%w: read upload %s of namespace %s: %w", sqldb.ErrDamaged, d.Name, d.Namespace, err)
	}
	return [32]byte(h.Sum(nil)), nil
}

// release ends the snapshot. It may be called twice, not beside writeTo.
func (snap *sqlSnapshot) release() {
	if snap == nil {
		return
	}
	snap.files.mu.Lock()
	delete(snap.files.snaps, snap)
	snap.files.mu.Unlock()
	for _, p := range snap.pins {
		p.letGo(snap.files)
	}
}
