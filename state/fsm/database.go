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

// writeDatabases writes each database: its row, then its file in chunks.
func writeDatabases(rw *recordWriter, v *state.Snapshot) error {
	return v.Databases(func(d *structs.SQLDatabase) error {
		if err := rw.row(recordDatabase, d); err != nil {
			return err
		}
		chunks := &chunkWriter{rw: rw}
		if err := v.WriteDatabase(d, chunks); err != nil {
			return err
		}
		return chunks.flush()
	})
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

// Read implements io.Reader.
func (r *databaseReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		rec := r.rr.record()
		if rec.err != nil || rec.t != recordDatabaseChunk {
			r.next, r.err = rec, io.EOF
			if rec.err != nil && rec.err != io.EOF {
				r.err = rec.err // the file is not whole
			}
			return 0, r.err
		}
		r.rest = rec.payload
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// readDatabase gives a database to v and returns the record behind its file.
func readDatabase(rr *recordReader, v visitor, d *structs.SQLDatabase) (record, error) {
	r := &databaseReader{rr: rr}
	if err := v.database(d, r); err != nil {
		var unsound *structs.Error
		if errors.As(err, &unsound) {
			err = fmt.Errorf("%w: database %s of namespace %s: %w", ErrSnapshot, d.Name, d.Namespace, err)
		}
		return record{}, err
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // whoever does not want the file
		return record{}, err
	}
	return r.next, nil
}
