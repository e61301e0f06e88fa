package fsm

import (
	"errors"
	"fmt"
	"io"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// databaseChunkBytes is how much of a database's file one record holds.
const databaseChunkBytes = 256 << 10

// writeDatabases writes each database: its row, then its file in chunks, or with files, beside the stream, what stands for
// them. It returns the files by state.CopyName.
func writeDatabases(rw *recordWriter, v *state.Snapshot, files Files) (map[string]*state.DatabaseCopy, error) {
	copies := map[string]*state.DatabaseCopy{}
	return copies, v.Databases(func(d *structs.SQLDatabase) error {
		if err := rw.row(recordDatabase, d); err != nil {
			return err
		}
		if files == nil || d.Upload != nil { // an upload is soon over: its file is not worth sharing
			chunks := &chunkWriter{rw: rw}
			if _, err := v.WriteDatabase(d, chunks); err != nil {
				return err
			}
			return chunks.flush()
		}
		c, err := keepDatabase(rw, v, files, d)
		if err == nil {
			copies[c.File] = c
		}
		return err
	})
}

// keepDatabase shares the file that the snapshot before has of a database, or writes one.
func keepDatabase(rw *recordWriter, v *state.Snapshot, files Files, d *structs.SQLDatabase) (*state.DatabaseCopy, error) {
	c, snapshot := v.Copy(d)
	if c == nil {
		return writeCopy(rw, files, d, func(w io.Writer) (uint64, error) { return v.WriteDatabase(d, w) })
	}
	name := state.CopyName(d)
	if err := files.Link(snapshot, c.File, name); err != nil {
		v.Lost(d)
		return nil, err
	}
	c.File = name
	return c, rw.copy(c)
}

// chunkWriter makes records of what is written to it.
type chunkWriter struct {
	rw  *recordWriter
	buf []byte
}

// Write implements io.Writer.
func (w *chunkWriter) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		take := min(len(b), databaseChunkBytes-len(w.buf))
		w.buf = append(w.buf, b[:take]...)
		b = b[take:]
		if len(w.buf) == databaseChunkBytes {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (w *chunkWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	err := w.rw.payload(recordDatabaseChunk, w.buf)
	w.buf = w.buf[:0]
	return err
}

// databaseReader gives a database's file out of a snapshot stream. It reads records until one that is no chunk, which
// it keeps for the stream's own reader.
type databaseReader struct {
	rr   *recordReader
	rest []byte // of the chunk that was read last
	next record // after err
	err  error
}

// record is what recordReader.next gave; the payload is valid until the next one is read.
type record struct {
	t       recordType
	payload []byte
	err     error
}

func (rr *recordReader) record() record {
	t, payload, err := rr.next()
	return record{t, payload, err}
}

// take looks at the record read last: a chunk, or what follows the file.
func (r *databaseReader) take() {
	switch rec := r.next; {
	case rec.err == nil && rec.t == recordDatabaseChunk:
		r.rest = rec.payload
	case rec.err != nil && rec.err != io.EOF:
		r.err = rec.err // the file is not whole
	default:
		r.err = io.EOF
	}
}

// Read implements io.Reader.
func (r *databaseReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.next = r.rr.record()
		r.take()
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// readDatabase gives a database to v and returns the record behind its file.
func readDatabase(rr *recordReader, v visitor, d *structs.SQLDatabase, from Local) (record, error) {
	rec := rr.record()
	if rec.err == nil && rec.t == recordDatabaseCopy {
		if err := readCopy(rec, v, d, from); err != nil {
			return record{}, err
		}
		return rr.record(), nil
	}
	r := &databaseReader{rr: rr, next: rec}
	r.take()
	if err := v.database(d, r, nil); err != nil {
		return record{}, unsound(err, d)
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // whoever does not want the file
		return record{}, err
	}
	return r.next, nil
}

// readCopy gives a database whose file is beside a local stream to v.
func readCopy(rec record, v visitor, d *structs.SQLDatabase, from Local) error {
	if from.Open == nil {
		return fmt.Errorf("%w: it lacks the files of its databases, which lie beside it on the disk that it was taken from", ErrSnapshot)
	}
	row, err := decode(rec.payload, validCopy)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	c := row.(*state.DatabaseCopy)
	r := &copyReader{open: from.Open, copy: c}
	defer r.close()
	return unsound(v.database(d, r, c), d)
}

// unsound words a visitor's complaint about a file.
func unsound(err error, d *structs.SQLDatabase) error {
	var refusal *structs.Error
	if errors.As(err, &refusal) {
		return fmt.Errorf("%w: database %s of namespace %s: %w", ErrSnapshot, d.Name, d.Namespace, err)
	}
	return err
}
