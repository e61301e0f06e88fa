package fsm

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"maps"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// A snapshot stream is
//
//	magic     8 bytes  snapshotMagic
//	version   4 bytes  snapshotVersion, big endian
//	records            a header first, rows, a trailer last
//
// and each record
//
//	type      1 byte   recordType
//	length    4 bytes  of the payload, big endian, at most recordBytesMax
//	payload            msgpack with fields by name, but for the bytes of a database's file
//	crc32c    4 bytes  Castagnoli, big endian, of type, length and payload
//
// Nothing may follow the trailer, which carries the number of rows of each type and the SHA-256 of
// every byte before it. So a stream is complete or an error: a cut at any place, also between two
// records, loses the trailer.
const (
	snapshotMagic   = "DEBROSSN"
	snapshotVersion = 1

	recordHeaderBytes = 5
	recordSumBytes    = 4
	// recordBytesMax bounds what a lying length can make a reader allocate or skip. One row must fit:
	// the configured limit of a value stays far below.
	recordBytesMax = 64 << 20
	// recordChunkBytes is what is allocated for a record before any of its bytes have arrived.
	recordChunkBytes = 1 << 20
)

// ErrSnapshot is in the chain of every error that means "these bytes are not a whole, unharmed snapshot
// stream that this build can read". An error of the reader itself does not carry it.
var ErrSnapshot = errors.New("unusable snapshot")

// recordType says what a record's payload is. Append only: the number is in the stream.
type recordType uint8

const (
	recordHeader        recordType = 1  // header
	recordNamespace     recordType = 2  // structs.NamespaceInfo
	recordNode          recordType = 3  // structs.Node
	recordSession       recordType = 4  // structs.Session
	recordKV            recordType = 5  // structs.KVPair
	recordTombstone     recordType = 6  // state.Tombstone
	recordLockDelay     recordType = 7  // state.LockDelay
	recordAutopilot     recordType = 8  // structs.AutopilotConfig
	recordTableIndex    recordType = 9  // state.TableIndex
	recordCluster       recordType = 10 // structs.ClusterInfo
	recordDatabase      recordType = 11 // structs.SQLDatabase; its file follows, in chunks
	recordDatabaseChunk recordType = 12 // bytes of that file as they are
	recordDatabaseCopy  recordType = 13 // state.DatabaseCopy, in a local stream only, in the place of chunks
	recordStream        recordType = 14 // structs.Stream
	recordMessage       recordType = 15 // structs.StreamMessage
	recordPublication   recordType = 16 // structs.StreamPublication
	recordConsumer      recordType = 17 // structs.StreamConsumer
	recordTxnReply      recordType = 18 // structs.StoredTxn
	recordTrailer       recordType = 255
)

// table names what a row record belongs to, for the trailer and for people.
func (t recordType) table() string {
	switch t {
	case recordNamespace:
		return "namespaces"
	case recordNode:
		return "nodes"
	case recordSession:
		return "sessions"
	case recordKV:
		return "kv"
	case recordTombstone:
		return "tombstones"
	case recordLockDelay:
		return "lock_delays"
	case recordAutopilot:
		return "autopilot"
	case recordTableIndex:
		return "table_indexes"
	case recordCluster:
		return "cluster"
	case recordDatabase:
		return "databases"
	case recordDatabaseChunk:
		return "database_chunks"
	case recordDatabaseCopy:
		return "database_copies"
	case recordStream:
		return "streams"
	case recordMessage:
		return "messages"
	case recordPublication:
		return "publications"
	case recordConsumer:
		return "consumers"
	case recordTxnReply:
		return "txn_replies"
	}
	return fmt.Sprintf("type_%d", uint8(t))
}

// trailer is the last record.
type trailer struct {
	Counts map[string]int // rows by table, header and trailer not counted
	SHA256 []byte         // of everything before the trailer's record
}

// recordWriter writes a snapshot stream.
type recordWriter struct {
	w      *bufio.Writer
	sum    hash.Hash
	counts map[string]int
	buf    []byte
	size   int64 // bytes written
	files  int64 // of them, pages of databases
	whole  int64 // bytes that the self-contained stream has so far
	chunks int   // records of it that a local stream has files for
}

func newRecordWriter(w io.Writer) (*recordWriter, error) {
	rw := &recordWriter{w: bufio.NewWriterSize(w, 64<<10), sum: sha256.New(), counts: map[string]int{}}
	head := binary.BigEndian.AppendUint32([]byte(snapshotMagic), snapshotVersion)
	return rw, rw.raw(head)
}

func (rw *recordWriter) raw(b []byte) error {
	rw.sum.Write(b)
	rw.size += int64(len(b))
	rw.whole += int64(len(b))
	_, err := rw.w.Write(b)
	return err
}

// row writes v as one record.
func (rw *recordWriter) row(t recordType, v any) error {
	payload, err := structs.Encode(v)
	if err != nil {
		return err
	}
	return rw.payload(t, payload)
}

func (rw *recordWriter) payload(t recordType, payload []byte) error {
	if len(payload) > recordBytesMax {
		return fmt.Errorf("record of type %d has %d bytes, over the limit of %d", t, len(payload), recordBytesMax)
	}
	b := append(rw.buf[:0], byte(t))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	rw.buf = b
	if t != recordHeader && t != recordTrailer {
		rw.counts[t.table()]++
	}
	if t == recordDatabaseChunk {
		rw.files += int64(len(payload))
	}
	return rw.raw(b)
}

// copy writes, in a local stream, what stands for the chunks of a database.
func (rw *recordWriter) copy(c *state.DatabaseCopy) error {
	before := rw.whole
	if err := rw.row(recordDatabaseCopy, c); err != nil {
		return err
	}
	chunks := (c.SizeBytes + databaseChunkBytes - 1) / databaseChunkBytes
	rw.whole = before + c.SizeBytes + chunks*(recordHeaderBytes+recordSumBytes)
	rw.chunks += int(chunks)
	return nil
}

// finish writes the trailer; without it the stream is worth nothing.
func (rw *recordWriter) finish() error {
	if n := rw.counts[recordDatabaseCopy.table()]; n > 0 {
		return rw.finishLocal()
	}
	return rw.end()
}

// finishLocal is finish for a local stream: the trailer of the whole one counts other records.
func (rw *recordWriter) finishLocal() error {
	counts := maps.Clone(rw.counts)
	delete(counts, recordDatabaseCopy.table())
	if rw.chunks > 0 {
		counts[recordDatabaseChunk.table()] = rw.chunks
	}
	payload, err := structs.Encode(trailer{Counts: counts, SHA256: make([]byte, sha256.Size)})
	if err != nil {
		return err
	}
	whole := rw.whole + int64(len(payload)) + recordHeaderBytes + recordSumBytes
	err = rw.end()
	rw.whole = whole
	return err
}

func (rw *recordWriter) end() error {
	if err := rw.row(recordTrailer, trailer{Counts: rw.counts, SHA256: rw.sum.Sum(nil)}); err != nil {
		return err
	}
	return rw.w.Flush()
}
