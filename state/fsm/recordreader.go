package fsm

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"maps"

	"github.com/debros/debros/structs"
)

// recordReader reads a snapshot stream. Its errors wrap ErrSnapshot unless the underlying reader failed.
type recordReader struct {
	r      *bufio.Reader
	sum    hash.Hash
	counts map[string]int
	buf    bytes.Buffer
	size   int64 // bytes read so far
	files  int64 // of them, pages of databases
}

func newRecordReader(r io.Reader) (*recordReader, error) {
	rr := &recordReader{r: bufio.NewReaderSize(r, 64<<10), sum: sha256.New(), counts: map[string]int{}}
	head := make([]byte, len(snapshotMagic)+4)
	if err := rr.full(head); err != nil {
		return nil, err
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return nil, fmt.Errorf("%w: it does not begin as one", ErrSnapshot)
	}
	if v := binary.BigEndian.Uint32(head[len(snapshotMagic):]); v != snapshotVersion {
		return nil, fmt.Errorf("%w: unknown format version %d (this build knows %d)", ErrSnapshot, v, snapshotVersion)
	}
	rr.sum.Write(head)
	return rr, nil
}

// full fills b. Any end of the stream here is an early one.
func (rr *recordReader) full(b []byte) error {
	n, err := io.ReadFull(rr.r, b)
	rr.size += int64(n)
	return early(err)
}

func early(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends early", ErrSnapshot)
	}
	return err
}

// next gives the next record, whose payload is valid until the following call. After the trailer,
// which it checks against what it has read, it gives io.EOF.
func (rr *recordReader) next() (recordType, []byte, error) {
	var head [recordHeaderBytes]byte
	if err := rr.full(head[:]); err != nil {
		return 0, nil, err
	}
	t := recordType(head[0])
	length := int64(binary.BigEndian.Uint32(head[1:]))
	if length > recordBytesMax {
		return 0, nil, fmt.Errorf("%w: a record claims %d bytes, at most %d are allowed", ErrSnapshot, length, recordBytesMax)
	}
	rr.buf.Reset()
	rr.buf.Write(head[:])
	rr.buf.Grow(int(min(length+recordSumBytes, recordChunkBytes)))
	n, err := io.CopyN(&rr.buf, rr.r, length+recordSumBytes)
	rr.size += n
	if err != nil {
		return 0, nil, early(err)
	}
	record := rr.buf.Bytes()
	body, sum := record[:len(record)-recordSumBytes], record[len(record)-recordSumBytes:]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(sum) {
		return 0, nil, fmt.Errorf("%w: checksum of a record differs", ErrSnapshot)
	}
	payload := body[recordHeaderBytes:]
	if t == recordTrailer {
		return 0, nil, rr.end(payload)
	}
	rr.sum.Write(record)
	if t == recordDatabaseChunk {
		rr.files += length
	}
	if t != recordHeader {
		rr.counts[t.table()]++
	}
	return t, payload, nil
}

// end checks the trailer and that nothing follows; io.EOF says all is well.
func (rr *recordReader) end(payload []byte) error {
	var tr trailer
	if err := structs.Decode(payload, &tr); err != nil {
		return fmt.Errorf("%w: trailer: %w", ErrSnapshot, err)
	}
	if !bytes.Equal(tr.SHA256, rr.sum.Sum(nil)) {
		return fmt.Errorf("%w: the checksum of the whole differs", ErrSnapshot)
	}
	if !maps.Equal(tr.Counts, rr.counts) {
		return fmt.Errorf("%w: rows %v, the trailer says %v", ErrSnapshot, rr.counts, tr.Counts)
	}
	if _, err := rr.r.ReadByte(); err == nil {
		return fmt.Errorf("%w: data after its end", ErrSnapshot)
	} else if err != io.EOF {
		return err
	}
	return io.EOF
}
