package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/debros/debros/internal/atomicfile"
	"github.com/debros/debros/state/sqldb"
	"github.com/debros/debros/structs"
)

// databaseDir is where a store keeps its databases:
//
//	boot       what the system that wrote them was called: the kernel's boot id
//	current    the number of the present life of the tables
//	N/*.db     the files of life N, so that a restore fills a new directory while the old one serves
//	N/history  the snapshots that are points of life N's own history, an id a line
//	tmp-*      what statements sort and collect; they have no name once they are open
//
// Files that a process left behind are as good as its log, unless the machine lost power meanwhile: nothing here is
// ever synced. So they are used again in the same boot only, and only for a snapshot of their own history.
type databaseDir struct {
	engine *sqldb.Engine // nil: the store keeps no databases
	path   string
	life   int // only the goroutine that restores changes it
	fault  FileFault
}

const (
	bootFile    = "boot"
	currentFile = "current"
	historyFile = "history"
	// noSnapshot is in the history of a life that began with nothing.
	noSnapshot = "-"
)

func (d *databaseDir) of(life int) string { return filepath.Join(d.path, strconv.Itoa(life)) }

// next makes the directory of the next life; nil in a store without databases.
func (d *databaseDir) next() (*sqlFiles, error) {
	if d.engine == nil {
		return nil, nil
	}
	d.life++
	if err := os.RemoveAll(d.of(d.life)); err != nil { // of a restore that a crash ended
		return nil, fmt.Errorf("empty a directory for databases: %w", err)
	}
	return newSQLFiles(d.engine, d.of(d.life))
}

// settle makes the life that next began the present one.
func (d *databaseDir) settle() error {
	if d.engine == nil {
		return nil
	}
	return atomicfile.Write(filepath.Join(d.path, currentFile), []byte(strconv.Itoa(d.life)), 0o600)
}

// FileFault answers for a disk that fails.
type FileFault = sqldb.FileFault

// FailFiles has f asked before each operation on a file of a database, for tests. It comes before OpenDatabases.
func (s *Store) FailFiles(f FileFault) { s.dbs.fault = f }

// OpenDatabases lets the store keep databases below dir. boot names the system's present run, "" when that is not
// known: files of another one are removed, and so is everything else that cannot be used; all of it is made again
// from the snapshot and the log. It comes before the first entry. CloseDatabases ends it.
func (s *Store) OpenDatabases(dir, boot string) error {
	engine, err := sqldb.NewEngine(sqldb.EngineOptions{TempDir: dir, Fault: s.dbs.fault})
	if err != nil {
		return err
	}
	s.dbs = databaseDir{engine: engine, path: dir, fault: s.dbs.fault}
	if life := leftBehind(dir, boot); life > 0 {
		s.dbs.life = life
		files, err := newSQLFiles(engine, s.dbs.of(life))
		if err != nil {
			return err
		}
		s.keepFiles(files)
		return removeOtherLives(dir, life)
	}
	return s.emptyDatabases(boot)
}

// emptyDatabases begins the first life.
func (s *Store) emptyDatabases(boot string) error {
	if old := s.current.Load().files; old != nil {
		old.close(false)
	}
	if err := os.RemoveAll(s.dbs.path); err != nil {
		return fmt.Errorf("empty the directory of the databases: %w", err)
	}
	s.dbs.life = 0
	files, err := s.dbs.next()
	if err != nil {
		return err
	}
	if err := errors.Join(
		atomicfile.Write(filepath.Join(s.dbs.path, bootFile), []byte(boot), 0o600),
		note(files.dir, noSnapshot),
		s.dbs.settle(),
	); err != nil {
		return fmt.Errorf("begin the directory of the databases: %w", err)
	}
	s.keepFiles(files)
	return nil
}

func (s *Store) keepFiles(files *sqlFiles) {
	e := *s.current.Load()
	e.files = files
	s.current.Store(&e)
}

// leftBehind is the life whose files this boot has written, 0 when there is none.
func leftBehind(dir, boot string) int {
	was, err := os.ReadFile(filepath.Join(dir, bootFile))
	if err != nil || boot == "" || string(was) != boot {
		return 0
	}
	current, err := os.ReadFile(filepath.Join(dir, currentFile))
	if err != nil {
		return 0
	}
	life, err := strconv.Atoi(string(current))
	if err != nil {
		return 0
	}
	if _, err := os.Stat(filepath.Join(dir, strconv.Itoa(life), historyFile)); err != nil {
		return 0
	}
	return life
}

func removeOtherLives(dir string, life int) error {
	all, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look through the directory of the databases: %w", err)
	}
	for _, e := range all {
		if e.IsDir() && e.Name() != strconv.Itoa(life) || strings.HasPrefix(e.Name(), sqldb.TempPrefix) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("remove old databases: %w", err)
			}
		}
	}
	return nil
}

// note adds a snapshot to the history of a life.
func note(dir, snapshot string) error {
	f, err := os.OpenFile(filepath.Join(dir, historyFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("note a snapshot of the databases: %w", err)
	}
	_, err = f.WriteString(snapshot + "\n")
	return errors.Join(err, f.Close())
}

// NoteSnapshot says that the snapshot of that id holds a state that the databases went through, or were restored to.
func (s *Store) NoteSnapshot(id string) error {
	files := s.current.Load().files
	if files == nil {
		return nil
	}
	return note(files.dir, id)
}

// CanResume reports whether the databases left behind belong to the history of a snapshot, so that they can be used with
// its tables and the log behind it. id "" stands for the beginning of the log.
func (s *Store) CanResume(id string) bool {
	files := s.current.Load().files
	if files == nil {
		return false
	}
	if id == "" {
		id = noSnapshot
	}
	data, err := os.ReadFile(filepath.Join(files.dir, historyFile))
	return err == nil && slices.Contains(strings.Split(string(data), "\n"), id)
}

// ForgetDatabases removes what was left behind, before the first entry.
func (s *Store) ForgetDatabases() error {
	boot, err := os.ReadFile(filepath.Join(s.dbs.path, bootFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look through the directory of the databases: %w", err)
	}
	return s.emptyDatabases(string(boot))
}

// DistrustDatabases has the next start make the databases again: something went wrong with them here. Without it a
// damaged file would stop that start as it stopped this process.
func (s *Store) DistrustDatabases() error {
	if s.dbs.engine == nil {
		return nil
	}
	if err := os.Remove(filepath.Join(s.dbs.path, bootFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("distrust the databases: %w", err)
	}
	return nil
}

// TrustDatabases takes DistrustDatabases back: all files were made anew since, in the boot of that name.
func (s *Store) TrustDatabases(boot string) error {
	if s.dbs.engine == nil {
		return nil
	}
	if err := atomicfile.Write(filepath.Join(s.dbs.path, bootFile), []byte(boot), 0o600); err != nil {
		return fmt.Errorf("trust the databases: %w", err)
	}
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

// CheckDatabase reads the file of a row and says whether a Restorer would take it; a *structs.Error says what is wrong
// with it. A database passes through a file below dir, "" for the system's place for temporary ones.
func CheckDatabase(d *structs.SQLDatabase, r io.Reader, dir string) error {
	if d.Upload != nil {
		n, err := io.Copy(io.Discard, r)
		return wholeUpload(d, n, err)
	}
	dir, err := os.MkdirTemp(dir, "debros-check-")
	if err != nil {
		return fmt.Errorf("check a database: %w", err)
	}
	defer os.RemoveAll(dir)
	return sqldb.Install(filepath.Join(dir, "db"), r)
}
