// Package sqldb is one SQLite database under replication: replicas that execute the same requests with the
// same stamps hold the same rows and give the same replies. DESIGN.md has the contract and the reasons.
package sqldb

import (
	"fmt"
	"sync/atomic"

	"github.com/debros/debros/state/sqldb/sqlite"
)

// Engine is what the databases of one store share: the clock of the log entry that is being applied, in a
// VFS of its own, since several stores may live in one process. One goroutine applies.
type Engine struct {
	writers, readers         *sqlite.VFS // readers have the machine's clock
	writersName, readersName string
	nowMS                    int64 // owned by the goroutine that applies

	queryTemp    atomic.Int64 // bytes that all queries sort and collect now
	queryTempMax int64        // of one of them; constant but in tests
}

// EngineOptions are this machine's own; the zero value will do.
type EngineOptions struct {
	// TempDir is where statements put what they sort and collect once it is too much for memory, "" = the system's place
	// for temporary files. It is best on the disk that the databases are on: one place to watch.
	TempDir string
	// Fault is asked before each operation on a file, for tests of failing disks; nil = nobody.
	Fault FileFault
}

// FileFault answers for a disk that fails: see sqlite.Fault.
type FileFault = sqlite.Fault

// TempPrefix begins the names of what may be left over in EngineOptions.TempDir by a process that died.
const TempPrefix = sqlite.TempPrefix

// NewEngine registers the engine's VFS. Close it after its databases.
func NewEngine(o EngineOptions) (*Engine, error) {
	sqlite.UTC()
	e := &Engine{queryTempMax: queryTempMax}
	e.writersName = fmt.Sprintf("debros-%p", e) // no two live engines have one address
	e.readersName = e.writersName + "-read"
	c := sqlite.VFSConfig{TempDir: o.TempDir, Fault: o.Fault}
	var err error
	if e.readers, err = sqlite.RegisterVFS(e.readersName, c); err != nil {
		return nil, fmt.Errorf("start the SQL engine: %w", err)
	}
	c.Now = func() int64 { return e.nowMS }
	if e.writers, err = sqlite.RegisterVFS(e.writersName, c); err != nil {
		e.readers.Close()
		return nil, fmt.Errorf("start the SQL engine: %w", err)
	}
	return e, nil
}

// Close gives the VFS back.
func (e *Engine) Close() error {
	e.writers.Close()
	e.readers.Close()
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
