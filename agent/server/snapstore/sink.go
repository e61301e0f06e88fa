package snapstore

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/debros/debros/internal/atomicfile"
	"github.com/debros/debros/state/fsm"
)

// syncBytes is how much of a file is written between two syncs. A snapshot that is synced at its end has the disk write all
// of it at once, and whoever syncs a log meanwhile waits for that: 80 ms for 300 MB where this costs 7.
const syncBytes = 1 << 20

// pauseMax bounds the pause after each sync, which is as long as the sync took: a disk that is busy with the log is left to
// it for half of the time.
const pauseMax = 20 * time.Millisecond

// sink writes a snapshot. What is written to it is a self-contained stream, which it takes apart, or after Local a
// local one.
type sink struct {
	store *Store
	tmp   string
	meta  meta
	state *file
	crc   hash.Hash64
	files map[string]bool
	ended bool

	local bool
	pipe  *io.PipeWriter // to the goroutine that takes the stream apart; nil in a local one
	split chan error     // how that ended
}

var _ fsm.LocalSink = (*sink)(nil)

// ID implements raft.SnapshotSink.
func (k *sink) ID() string { return k.meta.ID }

// Local implements fsm.LocalSink.
func (k *sink) Local() fsm.Files {
	k.local = true
	return sinkFiles{k}
}

// SetSize implements fsm.LocalSink.
func (k *sink) SetSize(bytes int64) { k.meta.Size = bytes }

// Write implements io.Writer.
func (k *sink) Write(b []byte) (int, error) {
	if k.local {
		return k.writeState(b)
	}
	if k.pipe == nil {
		r, w := io.Pipe()
		k.pipe, k.split = w, make(chan error, 1)
		go func() {
			out := bufio.NewWriterSize(writerFunc(k.writeState), 64<<10)
			err := fsm.Separate(out, sinkFiles{k}, r)
			if err == nil {
				err = out.Flush()
			}
			_ = r.CloseWithError(err) // it returns no error
			k.split <- err
		}()
	}
	n, err := k.pipe.Write(b)
	k.meta.Size += int64(n)
	return n, err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func (k *sink) writeState(b []byte) (int, error) {
	n, err := k.state.Write(b)
	k.crc.Write(b[:n])
	return n, err
}

// endSplit waits for the goroutine, which sees the end of the stream, or err.
func (k *sink) endSplit(err error) error {
	if k.pipe == nil {
		return nil
	}
	_ = k.pipe.CloseWithError(err) // it returns no error
	k.pipe = nil
	return <-k.split
}

// Close implements raft.SnapshotSink: when it returns nil the snapshot outlives a power loss. Each step leaves either no
// snapshot of this name or a whole one.
func (k *sink) Close() error {
	if k.ended {
		return nil
	}
	k.ended = true
	err := k.endSplit(nil)
	if err == nil {
		err = k.finish()
	} else {
		_ = k.state.f.Close() // what is in it is of no use
	}
	if err != nil {
		return fmt.Errorf("finish snapshot %s: %w", k.meta.ID, errors.Join(err, k.clean()))
	}
	if err := k.store.reap(); err != nil { // the snapshot is there all the same; the next one tries again
		k.store.log.Warn("old snapshots take up room", "error", err)
	}
	return nil
}

func (k *sink) finish() error {
	if err := k.state.Close(); err != nil {
		return err
	}
	k.meta.CRC = k.crc.Sum(nil)
	data, err := json.Marshal(&k.meta)
	if err != nil {
		return err
	}
	f, err := k.create(metaName)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := k.store.at("sync the directory"); err != nil {
		return err
	}
	if err := atomicfile.SyncDir(k.tmp); err != nil {
		return err
	}
	if err := k.store.at("rename"); err != nil {
		return err
	}
	if err := os.Rename(k.tmp, filepath.Join(k.store.dir, k.meta.ID)); err != nil {
		return err
	}
	if err := k.store.at("sync the parent"); err != nil {
		return err
	}
	return atomicfile.SyncDir(k.store.dir)
}

// Cancel implements raft.SnapshotSink.
func (k *sink) Cancel() error {
	if k.ended {
		return nil
	}
	k.ended = true
	_ = k.endSplit(errors.New("the snapshot is given up")) // the same again
	_ = k.state.f.Close()                                  // what is in it is of no use
	return k.clean()
}

// clean removes what is half.
func (k *sink) clean() error {
	if err := k.store.at("clean"); err != nil {
		return err
	}
	if err := os.RemoveAll(k.tmp); err != nil {
		return fmt.Errorf("give up a snapshot: %w", err)
	}
	return nil
}

// sinkFiles are the files beside the stream.
type sinkFiles struct{ k *sink }

// Create implements fsm.Files.
func (s sinkFiles) Create(name string) (io.WriteCloser, error) {
	if err := s.claim(name); err != nil {
		return nil, err
	}
	return s.k.create(name)
}

// Link implements fsm.Files.
func (s sinkFiles) Link(snapshot, old, name string) error {
	if err := s.claim(name); err != nil {
		return err
	}
	if err := s.k.store.at("link"); err != nil {
		return err
	}
	from, to := filepath.Join(s.k.store.dir, snapshot, old), filepath.Join(s.k.tmp, name)
	err := s.k.store.link(from, to)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return shareError(err)
	}
	f, err := os.Open(from) // a file system without links, or with too many of this file
	if err != nil {
		return shareError(err)
	}
	defer f.Close()
	w, err := s.k.create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return shareError(errors.Join(err, w.Close()))
}

func shareError(err error) error {
	if err != nil {
		err = fmt.Errorf("share a file of the last snapshot: %w", err)
	}
	return err
}

func (s sinkFiles) claim(name string) error {
	if filepath.Base(name) != name || name == stateName || name == metaName || s.k.files[name] {
		return fmt.Errorf("write a snapshot: unusable file name %q", name)
	}
	s.k.files[name] = true
	return nil
}

// file is one that is synced while it is written, so that its last sync has little to do.
type file struct {
	k       *sink
	f       *os.File
	pending int
}

func (k *sink) create(name string) (*file, error) {
	if err := k.store.at("create " + name); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(k.tmp, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write a snapshot: %w", err)
	}
	return &file{k: k, f: f}, nil
}

// Write implements io.Writer.
func (f *file) Write(b []byte) (int, error) {
	n, err := f.f.Write(b)
	if f.pending += n; err == nil && f.pending >= syncBytes {
		f.pending = 0
		start := time.Now()
		err = f.f.Sync()
		time.Sleep(min(time.Since(start), pauseMax))
	}
	return n, err
}

// Close syncs and closes.
func (f *file) Close() error {
	err := f.k.store.at("sync " + filepath.Base(f.f.Name()))
	if err == nil {
		err = f.f.Sync()
	}
	return errors.Join(err, f.f.Close())
}
