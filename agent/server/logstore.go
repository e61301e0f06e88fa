package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metrics"
	"go.etcd.io/bbolt"
)

// boltLockTimeout: the data directory is locked already, so a lock on the file means a process that is just ending.
const boltLockTimeout = 2 * time.Second

// backend is what both log stores are.
type backend interface {
	raft.LogStore
	raft.StableStore
	io.Closer
}

// logStore is the Raft log and stable store of one server.
//
// A failed write is not an answer: it is reported once through onFault, and every later write fails
// too, so that a node whose disk is full or broken stops instead of going on with a hole in its log.
type logStore struct {
	backend
	onFault func(error)
	fault   atomic.Pointer[error]
	stores  mean // how long StoreLogs takes
}

var _ raft.LogStore = (*logStore)(nil)

// openLogStore opens the log under dir, which it creates. The other backend's files there are an
// error: a server that forgot its log could vote twice.
func openLogStore(dir string, c *Config, logger hclog.Logger, collector metrics.Collector, onFault func(error)) (*logStore, error) {
	boltPath, walDir := filepath.Join(dir, "raft.db"), filepath.Join(dir, "wal")
	var b backend
	var err error
	switch c.LogBackend {
	case LogBoltDB:
		if _, e := os.Stat(walDir); e == nil {
			return nil, otherBackendError(LogWAL, LogBoltDB, walDir)
		}
		b, err = raftboltdb.New(raftboltdb.Options{Path: boltPath, BoltOptions: &bbolt.Options{Timeout: boltLockTimeout, NoFreelistSync: c.NoFreelistSync}})
	default:
		if _, e := os.Stat(boltPath); e == nil {
			return nil, otherBackendError(LogBoltDB, LogWAL, boltPath)
		}
		if err = os.MkdirAll(walDir, 0o700); err == nil {
			b, err = wal.Open(walDir, wal.WithSegmentSize(c.SegmentSizeBytes), wal.WithLogger(logger), wal.WithMetricsCollector(collector))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open raft log in %s: %w", dir, err)
	}
	if c.wrapLog != nil {
		b = c.wrapLog(b)
	}
	return &logStore{backend: b, onFault: onFault}, nil
}

// fsyncTime is how long the log takes to store an entry, on average; 0 in memory.
func (s *Server) fsyncTime() time.Duration {
	if s.logs == nil {
		return 0
	}
	return s.logs.stores.get()
}

func otherBackendError(have, want LogBackend, path string) error {
	return fmt.Errorf("the raft log in %s was written with raft_logstore backend = %q, and the configuration says %q: set it back, or remove the data directory to join again as a new server", path, have, want)
}

// StoreLog implements raft.LogStore.
func (l *logStore) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (l *logStore) StoreLogs(logs []*raft.Log) error {
	start := time.Now()
	defer func() { l.stores.add(time.Since(start)) }()
	return l.write("append to", func() error { return l.backend.StoreLogs(logs) })
}

// DeleteRange implements raft.LogStore.
func (l *logStore) DeleteRange(first, last uint64) error {
	return l.write("truncate", func() error { return l.backend.DeleteRange(first, last) })
}

// Set implements raft.StableStore.
func (l *logStore) Set(key, val []byte) error {
	return l.write("write term and vote to", func() error { return l.backend.Set(key, val) })
}

// SetUint64 implements raft.StableStore.
func (l *logStore) SetUint64(key []byte, val uint64) error {
	return l.write("write term and vote to", func() error { return l.backend.SetUint64(key, val) })
}

func (l *logStore) write(what string, do func() error) error {
	if p := l.fault.Load(); p != nil {
		return fmt.Errorf("raft log is closed to writes since: %w", *p)
	}
	err := do()
	if err == nil || errors.Is(err, wal.ErrClosed) {
		return err
	}
	err = fmt.Errorf("%s the raft log: %w", what, err)
	if l.fault.CompareAndSwap(nil, &err) {
		l.onFault(err)
	}
	return err
}
