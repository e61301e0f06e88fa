package fsm

import (
	"fmt"
	"io"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// extractor is the visitor that gives away databases and keeps nothing.
type extractor struct {
	give func(*structs.SQLDatabase, io.Reader) error
}

func (extractor) row(recordType, []byte, any) error { return nil }

func (e extractor) database(d *structs.SQLDatabase, file io.Reader, _ *state.DatabaseCopy) error {
	if d.Upload != nil { // not a database yet
		return nil
	}
	return e.give(d, file)
}

// Databases calls give for each database in a snapshot stream, with its file. It reads the stream to its end: only without
// an error was all of it as it was written.
func Databases(r io.Reader, give func(d *structs.SQLDatabase, file io.Reader) error) (Summary, error) {
	s, err := readStream(Local{Stream: r}, extractor{give})
	if err != nil {
		return Summary{}, fmt.Errorf("read snapshot: %w", err)
	}
	return s, nil
}
