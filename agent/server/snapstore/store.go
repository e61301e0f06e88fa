// Package snapstore keeps a server's snapshots on disk: it is a raft.SnapshotStore.
//
// Contract: a snapshot is a directory that is there whole or not at all. The databases in it are files of their own, which
// successive snapshots share by hard links, so that a database that did not change is not written again; each directory is
// whole by itself nevertheless, also when it is copied elsewhere. Who opens a snapshot reads the self-contained stream.
//
// The format, which is also that of raft.FileSnapshotStore where there are no files:
//
//	<term>-<index>-<milliseconds>/meta.json   raft's SnapshotMeta, with the size of the self-contained stream, and a CRC of
//	                                          state.bin
//	                              state.bin   a local stream of package fsm, or a self-contained one
//	                              *.db        the files that a local stream names; any SQLite opens them
//	….tmp/                                    one that is being written, or that a crash ended
//
// DESIGN.md of package server has the crash argument.
package snapstore

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/state/fsm"
)

const (
	metaName  = "meta.json"
	stateName = "state.bin"
	tmpSuffix = ".tmp"
)

// meta is what meta.json holds.
type meta struct {
	raft.SnapshotMeta
	CRC []byte // CRC-64 (ECMA) of state.bin
}

// Store is the snapshots below a directory. Its methods may be called from any goroutine.
type Store struct {
	dir  string
	keep int
	log  *slog.Logger
	// step comes before each thing that is done to the disk; its error stands for a crash there. For tests; nil = nothing.
	step func(what string) error
	link func(from, to string) error // os.Link
}

var _ raft.SnapshotStore = (*Store)(nil)

// Open opens the store in dir, which it makes, and removes what a crash has left there half. keep is the number of
// snapshots kept, at least 1.
func Open(dir string, keep int, log *slog.Logger) (*Store, error) {
	s := &Store{dir: dir, keep: max(keep, 1), log: log, link: os.Link}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of snapshots: %w", err)
	}
	half, err := filepath.Glob(filepath.Join(dir, "*"+tmpSuffix))
	if err != nil {
		return nil, fmt.Errorf("look for unfinished snapshots: %w", err)
	}
	for _, path := range half {
		log.Info("removing a snapshot that was not finished", "path", path)
		if err := os.RemoveAll(path); err != nil {
			return nil, fmt.Errorf("remove an unfinished snapshot: %w", err)
		}
	}
	return s, nil
}

func (s *Store) at(what string) error {
	if s.step == nil {
		return nil
	}
	return s.step(what)
}

// Create implements raft.SnapshotStore.
func (s *Store) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	if version != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("create snapshot: unknown version %d", version)
	}
	id := s.newID(term, index)
	k := &sink{store: s, tmp: filepath.Join(s.dir, id+tmpSuffix), files: map[string]bool{}, crc: crc64.New(ecma)}
	k.meta.SnapshotMeta = raft.SnapshotMeta{Version: version, ID: id, Index: index, Term: term, Configuration: conf, ConfigurationIndex: confIndex}
	if err := s.at("make the directory"); err != nil {
		return nil, err
	}
	if err := os.Mkdir(k.tmp, 0o700); err != nil {
		return nil, fmt.Errorf("create snapshot: %w", err)
	}
	f, err := k.create(stateName)
	if err != nil {
		return nil, errors.Join(err, k.clean())
	}
	k.state = f
	return k, nil
}

func (s *Store) newID(term, index uint64) string {
	for ms := time.Now().UnixMilli(); ; ms++ {
		id := fmt.Sprintf("%d-%d-%d", term, index, ms)
		if taken, err := filepath.Glob(filepath.Join(s.dir, id) + "*"); err != nil || len(taken) == 0 {
			return id
		}
	}
}

var ecma = crc64.MakeTable(crc64.ECMA)

// List implements raft.SnapshotStore.
func (s *Store) List() ([]*raft.SnapshotMeta, error) {
	all, err := s.all()
	if err != nil {
		return nil, err
	}
	var list []*raft.SnapshotMeta
	for _, m := range all[:min(len(all), s.keep)] {
		list = append(list, &m.SnapshotMeta)
	}
	return list, nil
}

// all is the snapshots, the newest first.
func (s *Store) all() ([]*meta, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var all []*meta
	for _, e := range entries {
		if !e.IsDir() || strings.HasSuffix(e.Name(), tmpSuffix) {
			continue
		}
		m, err := s.meta(e.Name())
		if err == nil && m.ID != e.Name() {
			err = fmt.Errorf("it is called %s", m.ID)
		}
		if err != nil {
			s.log.Warn("a snapshot cannot be used", "path", filepath.Join(s.dir, e.Name()), "error", err)
			continue
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *meta) int {
		return cmp.Or(cmp.Compare(b.Term, a.Term), cmp.Compare(b.Index, a.Index), cmp.Compare(b.ID, a.ID))
	})
	return all, nil
}

func (s *Store) meta(id string) (*meta, error) {
	data, err := os.ReadFile(filepath.Join(s.dir, id, metaName))
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	m := &meta{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("open snapshot %s: %s: %w", id, metaName, err)
	}
	if m.Version < raft.SnapshotVersionMin || m.Version > raft.SnapshotVersionMax {
		return nil, fmt.Errorf("open snapshot %s: unknown version %d", id, m.Version)
	}
	return m, nil
}

// Open implements raft.SnapshotStore. The ReadCloser is a *Snapshot.
func (s *Store) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m, err := s.meta(id)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(filepath.Join(s.dir, id, stateName))
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot: %w", err)
	}
	sum := crc64.New(ecma)
	if _, err = io.Copy(sum, f); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil && !bytes.Equal(sum.Sum(nil), m.CRC) {
		err = errors.New("its checksum differs")
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("open snapshot %s: %s: %w", id, stateName, err)
	}
	return &m.SnapshotMeta, &Snapshot{dir: filepath.Join(s.dir, id), id: id, state: f, r: bufio.NewReaderSize(f, 64<<10)}, nil
}

// reap removes snapshots beyond the number that is kept. A file that a younger one shares stays.
func (s *Store) reap() error {
	all, err := s.all()
	if err != nil {
		return err
	}
	for _, m := range all[min(len(all), s.keep):] {
		if err := s.at("reap"); err != nil {
			return err
		}
		// The name first: what is left of a directory that is removed halfway must not pass for a snapshot.
		old := filepath.Join(s.dir, m.ID)
		if err := os.Rename(old, old+tmpSuffix); err != nil {
			return fmt.Errorf("remove an old snapshot: %w", err)
		}
		if err := s.at("reap files"); err != nil {
			return err
		}
		if err := os.RemoveAll(old + tmpSuffix); err != nil {
			return fmt.Errorf("remove an old snapshot: %w", err)
		}
	}
	return nil
}

// Snapshot is one that is open for reading: the self-contained stream, made while it is read, or what is on the disk.
type Snapshot struct {
	dir   string
	id    string
	state *os.File
	r     io.Reader
	pipe  *io.PipeReader // of the goroutine that makes the stream; nil before the first Read
	done  chan struct{}
}

// Local is the snapshot as it is on the disk. It is used instead of Read.
func (s *Snapshot) Local() fsm.Local {
	return fsm.Local{ID: s.id, Stream: s.r, Open: func(file string) (io.ReadCloser, error) {
		f, err := os.Open(filepath.Join(s.dir, file))
		if err != nil {
			return nil, fmt.Errorf("open a database of snapshot %s: %w", s.id, err)
		}
		return f, nil
	}}
}

// Read implements io.Reader.
func (s *Snapshot) Read(b []byte) (int, error) {
	if s.pipe == nil {
		r, w := io.Pipe()
		s.pipe, s.done = r, make(chan struct{})
		go func() {
			defer close(s.done)
			_ = w.CloseWithError(s.Local().Whole(w)) // it returns no error
		}()
	}
	return s.pipe.Read(b)
}

// Close implements io.Closer.
func (s *Snapshot) Close() error {
	if s.pipe != nil {
		_ = s.pipe.Close() // it returns no error
		<-s.done
	}
	return s.state.Close()
}
