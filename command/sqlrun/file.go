package sqlrun

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/debros/debros/api"
)

// sqliteMagic begins every SQLite file.
const sqliteMagic = "SQLite format 3\x00"

// ErrNoSQLite: a file is no SQLite file.
var ErrNoSQLite = errors.New("it is no SQLite file, or it is encrypted")

// OpenSQLite opens a SQLite file that is to be sent. One whose last changes are still beside it, in a write-ahead log or
// a journal, is refused: what is sent would not be the database.
func OpenSQLite(path string) (f *os.File, size int64, err error) {
	if f, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !st.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is not a file", path)
	}
	begin := make([]byte, len(sqliteMagic))
	if n, err := f.ReadAt(begin, 0); err != nil && err != io.EOF {
		return nil, 0, err
	} else if string(begin[:n]) != sqliteMagic {
		return nil, 0, fmt.Errorf("%s: %w", path, ErrNoSQLite)
	}
	for _, suffix := range []string{"-wal", "-journal"} {
		if log, err := os.Stat(path + suffix); err == nil && log.Size() > 0 {
			return nil, 0, fmt.Errorf("%s%s holds changes that are not in the file yet: close the program that uses it, then run sqlite3 %s .tables, or give a copy made by .backup", path, suffix, path)
		}
	}
	return f, st.Size(), nil
}

// LooksLikeSQLite reports whether a file is one of SQLite, by its first bytes.
func LooksLikeSQLite(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return false // reading a pipe would take its beginning away
	}
	begin := make([]byte, len(sqliteMagic))
	_, err = io.ReadFull(f, begin)
	return err == nil && string(begin) == sqliteMagic
}

// Empty reports whether a database has no tables or views.
func Empty(ctx context.Context, db *api.SQL) (empty bool, err error) {
	err = db.QueryRow(ctx, api.Stmt(`SELECT count(*) = 0 FROM sqlite_schema WHERE type IN ('table', 'view') AND name`+notOwn), nil, &empty)
	if errors.Is(err, api.ErrNotFound) {
		return true, nil
	}
	return empty, err
}

// ImportSQLite adds what is in a SQLite file to a database that is not empty: rows and schema are inserted as SQL.
// The servers read the file, as a database of its own, which is gone afterwards.
func ImportSQLite(ctx context.Context, sql *api.SQL, database string, file io.Reader, patience time.Duration) (done Imported, err error) {
	name := "import-" + strings.ToLower(rand.Text())
	from := sql.Database(name)
	if _, _, err := from.Restore(ctx, file, nil, nil); err != nil {
		return done, err
	}
	defer func() {
		// Also when ctx has ended.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if _, derr := sql.DeleteDatabase(ctx, name, nil); derr != nil {
			err = errors.Join(err, fmt.Errorf("database %s, which the import made, could not be deleted: %w", name, derr))
		}
	}()
	pr, pw := io.Pipe()
	go func() {
		_, err := Export(ctx, from, nil, "", pw)
		pw.CloseWithError(err)
	}()
	done, err = ImportSQL(ctx, sql.Database(database), pr, patience)
	pr.CloseWithError(io.ErrClosedPipe)
	return done, err
}
