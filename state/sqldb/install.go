package sqldb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
	lib "modernc.org/sqlite/lib"
)

// Install puts a file that Pin.WriteTo wrote, or that a user brought, in the place of the database at path, which
// must not be open. It is checked as a whole before anything is replaced: a file that is no sound database is a
// *structs.Error, and harms nothing. A crash of the process leaves the old file, none, or the new one; none is a database at
// index 0. Nothing is synced, as with every write here: after a power loss no file is trusted.
func Install(path string, r io.Reader) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".install-*")
	if err != nil {
		return fmt.Errorf("install database: %w", err)
	}
	defer func() {
		f.Close()
		if err != nil {
			removeDatabase(f.Name())
		}
	}()
	if _, err := io.Copy(f, r); err != nil {
		return fmt.Errorf("install database %s: %w", path, err)
	}
	if err := examine(f.Name(), false); err != nil {
		return err
	}
	// The old file's log must not meet the new file, nor the old file be without its log.
	if err := removeDatabase(path); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("install database: %w", err)
	}
	return nil
}

// Remove deletes the database at path, which must not be open.
func Remove(path string) error { return removeDatabase(path) }

func removeDatabase(path string) error {
	var all error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} { // a log without its file is ignored

		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			all = errors.Join(all, fmt.Errorf("remove database: %w", err))
		}
	}
	return all
}

func unsound(format string, args ...any) *structs.Error {
	return structs.Errorf(structs.KindInvalid, "this is no sound database: "+format, args...)
}

// lenient reads every schema that a database may have.
var lenient = Options{DoubleQuotedStrings: true}

// examine checks a database file from outside. virtual: what virtual tables say of themselves counts too. It must not where a replica
// is copied, for SQL can bring them at odds with themselves, the same on every replica.
func examine(path string, virtual bool) error {
	sqlite.UTC()
	header := make([]byte, 100)
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("examine database: %w", err)
	}
	_, err = io.ReadFull(f, header)
	f.Close()
	if err != nil {
		return unsound("it is shorter than a header")
	}
	if v := header[18]; v != 1 && v != 2 || header[19] != v { // another version would open, for reading only
		return unsound("it is of a later version of the file format")
	}
	if header[59] > 1 { // 0: nothing was ever written
		return unsound("its text is UTF-16").WithHint("sqlite3 FILE .dump gives its text, which can be imported")
	}
	c, err := openConn(path, "", false, lenient)
	if err != nil {
		return examined(err)
	}
	defer c.close()
	c.trusted = true
	// Whether rows agree with indexes, CHECK and NOT NULL is not asked: SQL can make them disagree (a value of a JSON function is
	// JSON when it is inserted, but text when it is read again), the same on every replica, which must not keep
	// a replica from being copied. What is wrong with the pages is reported before what is wrong with rows.
	if !virtual {
		if err := c.DropModules(); err != nil {
			return examined(err)
		}
	}
	if err := c.Exec("PRAGMA cell_size_check=1; PRAGMA trusted_schema=0; PRAGMA ignore_check_constraints=1"); err != nil {
		return examined(err)
	}
	var complaint string
	for _, check := range []struct {
		sql  string
		want string
		what string
	}{
		{"PRAGMA encoding", "UTF-8", "its encoding is %s"},
		{"PRAGMA quick_check(1)", "ok", "%s"},
		{"SELECT coalesce(group_concat(name), '') FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL%' AND " +
			"NOT (sql LIKE '%fts5%' OR sql LIKE '%rtree%' OR sql LIKE '%geopoly%')", "", "it has virtual tables of an unknown kind: %s"},
		{"SELECT coalesce(group_concat(name), '') FROM sqlite_schema WHERE lower(substr(tbl_name, 1, 8)) = '_debros_' AND " +
			"name NOT IN ('_debros_meta', '_debros_replies', 'sqlite_autoindex__debros_replies_1', '_debros_changes', 'sqlite_autoindex__debros_changes_1')", "", "it has reserved names: %s"},
	} {
		if complaint, err = c.text(check.sql); err != nil {
			return examined(err)
		}
		if complaint != check.want && !strings.HasPrefix(complaint, "NULL value in ") {
			return unsound(check.what, complaint)
		}
	}
	if err := c.examineOwn(); err != nil {
		return err
	}
	return c.examineRowids()
}

// examineRowids refuses the rowid after which SQLite draws at random.
func (c *conn) examineRowids() error {
	var tables []string
	_, err := c.ask(`SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow') AND NOT wr`, func(s *sqlite.Stmt) bool {
		tables = append(tables, string(s.Bytes(0)))
		return true
	})
	if err != nil {
		return examined(err)
	}
	c.trusted = true
	for _, t := range tables {
		sql := "SELECT count(*) FROM " + quote(t) + " WHERE rowid = 9223372036854775807"
		if t == "sqlite_sequence" {
			sql = "SELECT count(*) FROM sqlite_sequence WHERE " + badSequence
		}
		n, err := c.Int64(sql)
		if err != nil {
			return examined(err)
		}
		if n > 0 {
			return unsound("table %s has used up its rowids", t)
		}
	}
	return nil
}

// badSequence holds of a row of sqlite_sequence after which SQLite could not number on.
const badSequence = `typeof(seq) NOT IN ('integer', 'null') OR seq = 9223372036854775807`

// examineOwn checks that our tables, if there, are what a new database has.
func (c *conn) examineOwn() error {
	own := 0
	for _, create := range strings.Split(strings.TrimSpace(schema), ";\n") {
		if !strings.HasPrefix(create, "CREATE TABLE ") {
			continue
		}
		name := strings.Fields(create)[2]
		sql, err := c.text("SELECT coalesce(max(sql), '') FROM sqlite_schema WHERE name = '" + name + "'")
		if err != nil {
			return examined(err)
		}
		if sql != "" && sql != create {
			return unsound("%s is another table", name)
		}
		if sql != "" {
			own++
		}
	}
	if err := c.examineChanges(own > 0); err != nil {
		return err
	}
	switch own {
	case 0:
		return nil
	case 1:
		return unsound("one of its tables _debros_meta and _debros_replies is missing")
	}
	n, err := c.Int64("SELECT count(*) FROM _debros_meta WHERE key = 'format' AND value IS 1 OR key = 'applied' AND typeof(value) = 'integer'")
	if err != nil {
		return examined(err)
	}
	if n != 2 {
		return unsound("_debros_meta is not of format %d", formatVersion)
	}
	return nil
}

// examineChanges checks the table of changes with what stands in _debros_meta about it; both or neither are there.
func (c *conn) examineChanges(meta bool) error {
	sql, err := c.text("SELECT coalesce(max(sql), '') FROM sqlite_schema WHERE name = '_debros_changes'")
	if err != nil {
		return examined(err)
	}
	var notes int64
	if meta {
		notes, err = c.Int64("SELECT count(*) FROM _debros_meta WHERE key IN ('changes', 'changes-index', 'changes-seq') AND typeof(value) = 'integer' AND value >= 0")
		if err != nil {
			return examined(err)
		}
	}
	if sql != "" && (sql != changesSchema || notes != 3) || sql == "" && notes != 0 {
		return unsound("_debros_changes is another table, or _debros_meta contradicts it")
	}
	return nil
}

// text is the first value of a trusted query.
func (c *conn) text(sql string) (string, error) {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return "", err
	}
	defer s.Finalize()
	if row, err := s.Step(); err != nil || !row {
		return "", err
	}
	return string(s.Bytes(0)), nil
}

// examined says whether an error speaks of the file or of this machine.
func examined(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Primary() {
		case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB, lib.SQLITE_FORMAT, lib.SQLITE_ERROR, lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_AUTH:
			return unsound("%s", e.Message)
		}
	}
	return fmt.Errorf("examine database: %w", err)
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
