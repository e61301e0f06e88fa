// Package sqldb is one SQLite database under replication: replicas that execute the same requests with the
// same stamps hold the same rows and give the same replies. DESIGN.md has the contract and the reasons.
package sqldb

import (
	"fmt"

	"github.com/debros/debros/state/sqldb/sqlite"
)

// Engine is what the databases of one store share: the clock of the log entry that is being applied, in a
// VFS of its own, since several stores may live in one process. One goroutine applies.
type Engine struct {
	vfs   *sqlite.VFS
	name  string
	nowMS int64 // owned by the goroutine that applies
}

// NewEngine registers the engine's VFS. Close it after its databases.
func NewEngine() (*Engine, error) {
	sqlite.UTC()
	e := &Engine{}
	e.name = fmt.Sprintf("debros-%p", e) // no two live engines have one address
	var err error
	if e.vfs, err = sqlite.RegisterVFS(e.name, func() int64 { return e.nowMS }); err != nil {
		return nil, fmt.Errorf("start the SQL engine: %w", err)
	}
	return e, nil
}

// Close gives the VFS back.
func (e *Engine) Close() error {
	e.vfs.Close()
	return nil
}

// Version is SQLite's. Replicas of different versions may give different results.
func (e *Engine) Version() string { return sqlite.Version }

// Options of a database. They are the same on every replica, except ReadersMax.
type Options struct {
	// Name identifies the database in the cluster, e.g. "namespace/name": what it draws at random depends on it.
	Name string
	// PageBytes is the size of a page, 0 = 4096. It matters when the file is made.
	PageBytes int
	// DoubleQuotedStrings lets "text" be a string where no column has that name.
	DoubleQuotedStrings bool
	// ForeignKeys has foreign keys enforced. SQLite's default is off, and so is ours: a dump creates tables
	// in an order that breaks them in between.
	ForeignKeys bool
	// ReadersMax bounds the queries that run at one time, 0 = 4.
	ReadersMax int
}
