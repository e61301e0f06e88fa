package fsm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// A local stream is a snapshot stream whose databases are files beside it: in the place of a database's chunks it has one
// record that names a file and its sum. So snapshots on one disk can share the file of a database that did not change.
// It never leaves that disk: Local.Whole makes the self-contained stream of it, Separate the other way round.

// Files is where the databases of a local stream are written to.
type Files interface {
	// Create makes a file; Close makes it durable.
	Create(name string) (io.WriteCloser, error)
	// Link makes a file that an earlier snapshot has one of this snapshot too.
	Link(snapshot, file, name string) error
}

// LocalSink is a snapshot sink that keeps files beside the stream.
type LocalSink interface {
	raft.SnapshotSink
	// Local comes before the first Write, which then is of a local stream. SetSize tells how long the whole stream is.
	Local() Files
	SetSize(bytes int64)
}

// Local is a local stream to read from.
type Local struct {
	ID     string // of the snapshot
	Stream io.Reader
	Open   func(file string) (io.ReadCloser, error)
}

// Whole writes the self-contained stream. It fails when a file is not what the stream says.
func (l Local) Whole(w io.Writer) error {
	rw, err := newRecordWriter(w)
	if err != nil {
		return err
	}
	if _, err := readStream(l, copier{rw: rw}); err != nil {
		return err
	}
	return rw.finish()
}

// Separate reads a self-contained stream and writes it as a local one with its files. Databases are not checked: who
// restores them does.
func Separate(w io.Writer, files Files, r io.Reader) error {
	rw, err := newRecordWriter(w)
	if err != nil {
		return err
	}
	if _, err := readStream(Local{Stream: r}, separator{copier{rw: rw}, files}); err != nil {
		return err
	}
	return rw.finish()
}

// separator is the visitor that writes a local stream.
type separator struct {
	copier
	files Files
}

func (s separator) database(d *structs.SQLDatabase, file io.Reader, c *state.DatabaseCopy) error {
	if d.Upload != nil {
		return s.copier.database(d, file, c)
	}
	if err := s.rw.row(recordDatabase, d); err != nil {
		return err
	}
	_, err := writeCopy(s.rw, s.files, d, func(w io.Writer) (uint64, error) {
		_, err := io.Copy(w, file)
		return 0, err // who restores the file finds out; until then nobody may share it
	})
	return err
}

// writeCopy has fill write the file of a database and notes it in a local stream.
func writeCopy(rw *recordWriter, files Files, d *structs.SQLDatabase, fill func(io.Writer) (applied uint64, err error)) (*state.DatabaseCopy, error) {
	c := &state.DatabaseCopy{File: state.CopyName(d)}
	f, err := files.Create(c.File)
	if err != nil {
		return nil, err
	}
	sum := &summing{w: f, sum: sha256.New()}
	c.Applied, err = fill(sum)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	c.SizeBytes, c.SHA256 = sum.size, sum.sum.Sum(nil)
	return c, rw.copy(c)
}

// summing is a writer that sums up what passes.
type summing struct {
	w    io.Writer
	sum  hash.Hash
	size int64
}

func (s *summing) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.sum.Write(b[:n])
	s.size += int64(n)
	return n, err
}

// validCopy keeps a damaged record from naming a file elsewhere.
func validCopy(c *state.DatabaseCopy) bool {
	return c.File != "" && filepath.Base(c.File) == c.File && filepath.IsLocal(c.File) && c.SizeBytes >= 0 && len(c.SHA256) == sha256.Size
}

// copyReader reads the file of a copy, which is opened by the first Read: a start that finds its databases needs none.
// It gives io.EOF only when all was as the copy says.
type copyReader struct {
	open func(string) (io.ReadCloser, error)
	copy *state.DatabaseCopy
	f    io.ReadCloser
	sum  hash.Hash
	size int64
	err  error
}

// Read implements io.Reader.
func (r *copyReader) Read(b []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.f == nil {
		if r.f, r.err = r.open(r.copy.File); r.err != nil {
			return 0, r.err
		}
		r.sum = sha256.New()
	}
	n, err := r.f.Read(b)
	r.sum.Write(b[:n])
	r.size += int64(n)
	if err == io.EOF && (r.size != r.copy.SizeBytes || !bytes.Equal(r.sum.Sum(nil), r.copy.SHA256)) {
		err = fmt.Errorf("%w: file %s is not what was written (%d bytes, were %d)", ErrSnapshot, r.copy.File, r.size, r.copy.SizeBytes)
	}
	r.err = err
	return n, err
}

func (r *copyReader) close() {
	if r.f != nil {
		_ = r.f.Close() // it was only read
	}
}
