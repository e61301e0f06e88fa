package sqlrun

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/internal/sqltext"
)

// Migration is a file of SQL that changes a database from one version to the next.
type Migration struct {
	Name   string // the file's
	SHA256 string
	Done   bool // it was done before
	text   string
}

// The table that remembers migrations is an ordinary one: it is exported, imported and read like any other.
const migrationsTable = `CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY, sha256 TEXT NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)`

// ReadMigrations reads the files *.sql of a directory, in the order of their names.
func ReadMigrations(dir fs.FS) ([]*Migration, error) {
	names, err := fs.Glob(dir, "*.sql")
	if err != nil {
		return nil, err
	}
	var all []*Migration
	for _, name := range names { // Glob sorts them
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		all = append(all, &Migration{Name: name, SHA256: hex.EncodeToString(sum[:]), text: string(text)})
	}
	if len(all) == 0 {
		return nil, errors.New("the directory has no files *.sql")
	}
	return all, nil
}

// Migrate does those of the migrations that were not done, in their order, each whole or not at all; report hears of
// each that is. Any number of programs may do it at the same time: a migration is done once. With dry, none is.
func Migrate(ctx context.Context, db *api.SQL, all []*Migration, dry bool, patience time.Duration, report func(*Migration)) error {
	for {
		last, err := compare(ctx, db, all)
		if err != nil {
			return err
		}
		var next *Migration
		for _, m := range all {
			if !m.Done {
				next = m
				break
			}
		}
		if next == nil || dry {
			return nil
		}
		err = next.do(ctx, db, last, patience)
		if errors.Is(err, errOvertaken) {
			continue
		}
		if err != nil {
			return err
		}
		next.Done = true
		report(next)
	}
}

// compare marks the migrations that were done, and refuses what does not fit what was. last is the last that was.
func compare(ctx context.Context, db *api.SQL, all []*Migration) (last string, err error) {
	var tables int
	if err := db.QueryRow(ctx, api.Stmt("SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migrations'"), nil, &tables); err != nil || tables == 0 {
		return "", err
	}
	done := map[string]string{}
	err = each(ctx, db, nil, "SELECT name, sha256 FROM schema_migrations ORDER BY name", func(row *api.SQLRow) error {
		var sum string
		err := row.Scan(&last, &sum)
		done[last] = sum
		return err
	})
	if err != nil {
		return "", err
	}
	for _, m := range all {
		sum, ok := done[m.Name]
		delete(done, m.Name)
		switch m.Done = ok; {
		case ok && sum != m.SHA256:
			return "", fmt.Errorf("%s is not what it was when it was done: write a new migration instead of changing an old one", m.Name)
		case !ok && m.Name < last:
			return "", fmt.Errorf("%s was not done, but %s after it was: give it a later name", m.Name, last)
		}
	}
	for name := range done {
		return "", fmt.Errorf("%s was done and its file is not here", name)
	}
	return last, nil
}

// errOvertaken: somebody else did the migration, or another, since we looked.
var errOvertaken = errors.New("somebody else migrates")

// do sends one migration as one transaction, if the last that was done is still the last.
func (m *Migration) do(ctx context.Context, db *api.SQL, last string, patience time.Duration) error {
	q := &api.SQLRequest{Transaction: true, RequestID: rand.Text()}
	var lines []int
	split := sqltext.NewSplitter(strings.NewReader(m.text))
	for split.Next() {
		st := split.Statement()
		skip, err := sqltext.FileOnly(st.Text)
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", m.Name, st.Line, err)
		}
		if !skip {
			q.Statements, lines = append(q.Statements, api.Stmt(st.Text)), append(lines, st.Line)
		}
	}
	if err := split.Err(); err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	q.Statements = append(q.Statements, api.Stmt("INSERT INTO schema_migrations (name, sha256) VALUES (?, ?)", m.Name, m.SHA256))
	if last == "" {
		if _, err := db.Exec(ctx, migrationsTable); err != nil {
			return err
		}
	}
	q.Guards = []api.SQLGuard{{SQLStatement: api.Stmt("SELECT coalesce(max(name), '') FROM schema_migrations"), First: []any{last}}}
	_, err := persist(ctx, db, q, patience)
	var failed *api.SQLError
	if errors.As(err, &failed) {
		if failed.Statement < len(lines) {
			return fmt.Errorf("%s: line %d: %w", m.Name, lines[failed.Statement], failed.Err)
		}
		return fmt.Errorf("%s: %w", m.Name, failed.Err)
	}
	if errors.Is(err, api.ErrConflict) { // the guard
		return errOvertaken
	}
	return err
}
