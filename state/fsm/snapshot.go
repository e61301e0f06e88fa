package fsm

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// header is the first record of a snapshot stream.
type header struct {
	Applied uint64 // FSM.AppliedIndex: entries up to here are in the state
	Index   uint64 // state.Store.Index: the last of them that was a command
	Time    int64  // state.Store.Time, Unix nanoseconds
}

// Summary is what Verify finds in a snapshot stream.
type Summary struct {
	Index     uint64         // the FSM's AppliedIndex when it was taken
	Time      time.Time      // of the last entry in it, by the leaders' clocks
	Counts    map[string]int // rows by table
	SizeBytes int64          // of the stream
	// FSMVersion is the lowest structs.FSMVersion that can hold the rows; 0 = any.
	FSMVersion int

	rowBytes int64 // of the stream without databases
}

// Verify reads a whole snapshot stream, decodes and checks everything that Restore would, and keeps
// nothing (databases pass through a temporary file): a stream that Verify accepts is one that Restore accepts. An error wraps ErrSnapshot unless
// r itself failed.
func Verify(r io.Reader) (Summary, error) {
	s, err := readStream(Local{Stream: r}, checker{})
	if err != nil {
		return Summary{}, fmt.Errorf("verify snapshot: %w", err)
	}
	return s, nil
}

// snapshot implements raft.FSMSnapshot.
type snapshot struct {
	view    *state.Snapshot
	applied uint64
	logger  *slog.Logger
	written *snapshotBytes
}

// snapshotBytes says what snapshots of an FSM cost.
type snapshotBytes struct {
	total atomic.Int64 // written to disk so far
	rows  atomic.Int64 // of the last one, without databases
}

// Persist implements raft.FSMSnapshot; it runs beside Apply.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	local, _ := sink.(LocalSink)
	var files Files
	if local != nil {
		files = local.Local()
	}
	w, err := writeStream(sink, s.view, s.applied, files)
	if err == nil && local != nil {
		local.SetSize(w.sizeBytes)
	}
	if err == nil {
		err = s.view.Note(sink.ID())
	}
	if err == nil {
		err = sink.Close()
	} else {
		err = errors.Join(err, sink.Cancel())
	}
	if err != nil {
		return fmt.Errorf("persist snapshot at index %d: %w", s.applied, err)
	}
	s.view.Kept(sink.ID(), w.copies)
	s.written.rows.Store(w.rowBytes)
	s.written.total.Add(w.streamBytes)
	for _, c := range w.copies {
		if c.Shared == 0 {
			s.written.total.Add(c.SizeBytes)
		}
	}
	s.logger.Info("persisted a snapshot", "index", s.applied, "rows", w.counts)
	return nil
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() { s.view.Release() }

// written is what writeStream has written.
type written struct {
	counts      map[string]int
	copies      map[string]*state.DatabaseCopy // the files of a local stream
	sizeBytes   int64                          // of the self-contained stream
	streamBytes int64                          // of the stream itself
	rowBytes    int64                          // of it, without databases
}

// writeStream writes the tables, each in key order, so that equal stores give equal streams; with files a local stream.
func writeStream(w io.Writer, v *state.Snapshot, applied uint64, files Files) (out written, err error) {
	rw, err := newRecordWriter(w)
	if err != nil {
		return out, err
	}
	h := header{Applied: applied, Index: v.Index(), Time: v.Time().UnixNano()}
	if err := rw.row(recordHeader, &h); err != nil {
		return out, err
	}
	for _, table := range tablesOf(v) {
		if err := table.write(rw); err != nil {
			return out, err
		}
	}
	if out.copies, err = writeDatabases(rw, v, files); err != nil {
		return out, err
	}
	if err := writeCluster(rw, v.Cluster()); err != nil {
		return out, err
	}
	err = rw.finish()
	out.counts, out.sizeBytes, out.streamBytes, out.rowBytes = rw.counts, rw.whole, rw.size, rw.size-rw.files
	return out, err
}

// streamTable is a table on its way into a stream.
type streamTable struct {
	of    recordType
	write func(*recordWriter) error
}

// tablesOf are the tables before the databases, in the order of the stream.
func tablesOf(v *state.Snapshot) []streamTable {
	return []streamTable{
		{recordNamespace, func(rw *recordWriter) error { return v.Namespaces(rows[structs.NamespaceInfo](rw, recordNamespace)) }},
		{recordNode, func(rw *recordWriter) error { return v.Nodes(rows[structs.Node](rw, recordNode)) }},
		{recordSession, func(rw *recordWriter) error { return v.Sessions(rows[structs.Session](rw, recordSession)) }},
		{recordKV, func(rw *recordWriter) error { return v.KVs(rows[structs.KVPair](rw, recordKV)) }},
		{recordTombstone, func(rw *recordWriter) error { return v.Tombstones(rows[state.Tombstone](rw, recordTombstone)) }},
		{recordLockDelay, func(rw *recordWriter) error { return v.LockDelays(rows[state.LockDelay](rw, recordLockDelay)) }},
		{recordStream, func(rw *recordWriter) error { return v.Streams(rows[structs.Stream](rw, recordStream)) }},
		{recordMessage, func(rw *recordWriter) error { return v.Messages(rows[structs.StreamMessage](rw, recordMessage)) }},
		{recordPublication, func(rw *recordWriter) error {
			return v.Publications(rows[structs.StreamPublication](rw, recordPublication))
		}},
		{recordConsumer, func(rw *recordWriter) error { return v.Consumers(rows[structs.StreamConsumer](rw, recordConsumer)) }},
		{recordTxnReply, func(rw *recordWriter) error { return v.TxnReplies(rows[structs.StoredTxn](rw, recordTxnReply)) }},
		{recordTableIndex, func(rw *recordWriter) error { return v.TableIndexes(rows[state.TableIndex](rw, recordTableIndex)) }},
		{recordAutopilot, func(rw *recordWriter) error {
			if c := v.Autopilot(); c != nil {
				return rw.row(recordAutopilot, c)
			}
			return nil
		}},
	}
}

// writeCluster writes the last row of a stream, if there is one.
func writeCluster(rw *recordWriter, c *structs.ClusterInfo) error {
	if c == nil {
		return nil
	}
	return rw.row(recordCluster, c)
}

// CopyForCluster copies a snapshot stream from r to w with c (nil: none) in the place of the cluster
// that it was taken of, and checks it as Verify does. What a snapshot brings to a cluster is data; who
// the cluster is does not change with it. When it fails, what is in w is of no use. Databases that are
// checked pass through a file below dir.
func CopyForCluster(w io.Writer, r io.Reader, c *structs.ClusterInfo, dir string) (Summary, error) {
	rw, err := newRecordWriter(w)
	if err != nil {
		return Summary{}, fmt.Errorf("copy snapshot: %w", err)
	}
	s, err := readStream(Local{Stream: r}, adopter{copier{rw}, dir})
	if err == nil {
		err = writeCluster(rw, c)
	}
	if err == nil {
		err = rw.finish()
	}
	if err != nil {
		return Summary{}, fmt.Errorf("copy snapshot: %w", err)
	}
	return s, nil
}

func rows[T any](rw *recordWriter, t recordType) func(*T) error {
	return func(row *T) error { return rw.row(t, row) }
}

// readStream checks a stream, which may be a local one if from can open files, and gives what is in it to v.
func readStream(from Local, v visitor) (Summary, error) {
	rr, err := newRecordReader(from.Stream)
	if err != nil {
		return Summary{}, err
	}
	var h *header
	databases := map[string]bool{}
	version := 0
	rec := rr.record()
	for rec.err == nil {
		row, err := decodeRow(rec.t, rec.payload)
		if err != nil {
			return Summary{}, fmt.Errorf("%w: %w", ErrSnapshot, err)
		}
		version = max(version, versionOf(row))
		first, isHeader := row.(*header)
		if isHeader == (h != nil) {
			return Summary{}, fmt.Errorf("%w: its header is not first, or not alone", ErrSnapshot)
		}
		if isHeader {
			h = first
		}
		d, ok := row.(*structs.SQLDatabase)
		if !ok {
			if err := v.row(rec.t, rec.payload, row); err != nil {
				return Summary{}, err
			}
			rec = rr.record()
			continue
		}
		name := fmt.Sprintf("%s of namespace %s", d.Name, d.Namespace)
		if databases[name] {
			return Summary{}, fmt.Errorf("%w: database %s is in it twice", ErrSnapshot, name)
		}
		databases[name] = true
		if rec, err = readDatabase(rr, v, d, from); err != nil {
			return Summary{}, err
		}
	}
	if rec.err != io.EOF {
		return Summary{}, rec.err
	}
	if h == nil {
		return Summary{}, fmt.Errorf("%w: it has no header", ErrSnapshot)
	}
	return Summary{Index: h.Applied, Time: time.Unix(0, h.Time).UTC(), Counts: rr.counts, SizeBytes: rr.size, FSMVersion: version, rowBytes: rr.size - rr.files}, nil
}
