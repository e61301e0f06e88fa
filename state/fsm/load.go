package fsm

import (
	"fmt"
	"io"
	"time"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// visitor is given what is in a snapshot stream, in its order.
type visitor interface {
	// row gets a row, also in the form that it has in the stream.
	row(t recordType, payload []byte, row any) error
	// database gets the row of a database, its file, and what a local stream has for it, nil else. A *structs.Error says
	// that the file is no sound database.
	database(d *structs.SQLDatabase, file io.Reader, copy *state.DatabaseCopy) error
}

// checker is the visitor that keeps nothing.
type checker struct{}

func (checker) row(recordType, []byte, any) error { return nil }

func (checker) database(d *structs.SQLDatabase, file io.Reader, _ *state.DatabaseCopy) error {
	return state.CheckDatabase(d, file, "")
}

// copier is the visitor that writes another stream, which is self-contained.
type copier struct{ rw *recordWriter }

func (c copier) row(t recordType, payload []byte, _ any) error { return c.rw.payload(t, payload) }

func (c copier) database(d *structs.SQLDatabase, file io.Reader, _ *state.DatabaseCopy) error {
	if err := c.rw.row(recordDatabase, d); err != nil {
		return err
	}
	chunks := &chunkWriter{rw: c.rw}
	if _, err := io.Copy(chunks, file); err != nil {
		return err
	}
	return chunks.flush()
}

// adopter is the copier that leaves out the cluster's row and checks databases.
type adopter struct {
	copier
	dir string // for the check
}

func (a adopter) row(t recordType, payload []byte, row any) error {
	if t == recordCluster {
		return nil
	}
	return a.copier.row(t, payload, row)
}

func (a adopter) database(d *structs.SQLDatabase, file io.Reader, _ *state.DatabaseCopy) error {
	if err := a.rw.row(recordDatabase, d); err != nil {
		return err
	}
	chunks := &chunkWriter{rw: a.rw}
	if err := state.CheckDatabase(d, io.TeeReader(file, chunks), a.dir); err != nil {
		return err
	}
	return chunks.flush()
}

// loader is the visitor that fills a store.
type loader struct {
	to       *state.Restorer
	snapshot string // the id of a local stream's, "" of another
}

func (l *loader) database(d *structs.SQLDatabase, file io.Reader, copy *state.DatabaseCopy) error {
	return l.to.Database(d, file, copy, l.snapshot)
}

// row implements visitor: it puts a row where it belongs.
func (l *loader) row(_ recordType, _ []byte, row any) error {
	to := l.to
	switch row := row.(type) {
	case *header:
		return to.Entry(row.Index, time.Unix(0, row.Time))
	case *structs.NamespaceInfo:
		return to.Namespace(row)
	case *structs.Node:
		return to.Node(row)
	case *structs.Session:
		return to.Session(row)
	case *structs.KVPair:
		return to.KV(row)
	case *state.Tombstone:
		return to.Tombstone(row)
	case *state.LockDelay:
		return to.LockDelay(row)
	case *structs.Stream:
		return to.Stream(row)
	case *structs.StreamMessage:
		return to.Message(row)
	case *structs.StreamPublication:
		return to.Publication(row)
	case *structs.StreamConsumer:
		return to.Consumer(row)
	case *structs.StoredTxn:
		return to.TxnReply(row)
	case *state.TableIndex:
		return to.TableIndex(row)
	case *structs.AutopilotConfig:
		return to.Autopilot(row)
	case *structs.ClusterInfo:
		return to.Cluster(row)
	}
	return fmt.Errorf("a %T has no table", row)
}
