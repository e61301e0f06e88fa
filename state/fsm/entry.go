package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/debros/debros/structs"
)

// A Raft log entry of type command is
//
//	version  1 byte   entryVersion
//	crc32c   4 bytes  Castagnoli, big endian, of the payload
//	payload           structs.Entry, msgpack with fields by name
//
// The log stores have checksums of their own or none (BoltDB); this one also covers the way from the
// leader's memory through the network to a follower's disk and back.
const (
	entryVersion     = 1
	entryHeaderBytes = 5
)

// ErrEntry is in the chain of every error of DecodeEntry.
var ErrEntry = errors.New("undecodable log entry")

// castagnoli is the CRC32C table; amd64 and arm64 compute it in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EncodeEntry renders e as the Data of a Raft log entry.
func EncodeEntry(e *structs.Entry) ([]byte, error) {
	data, err := structs.Append(make([]byte, entryHeaderBytes), e)
	if err != nil {
		return nil, fmt.Errorf("encode log entry: %w", err)
	}
	data[0] = entryVersion
	binary.BigEndian.PutUint32(data[1:], crc32.Checksum(data[entryHeaderBytes:], castagnoli))
	return data, nil
}

// DecodeEntry reads what EncodeEntry made. Any other bytes give an error that wraps ErrEntry, never a panic.
func DecodeEntry(data []byte) (*structs.Entry, error) {
	if len(data) < entryHeaderBytes {
		return nil, fmt.Errorf("%w: %d bytes are too few", ErrEntry, len(data))
	}
	if data[0] != entryVersion {
		return nil, fmt.Errorf("%w: unknown version %d", ErrEntry, data[0])
	}
	payload := data[entryHeaderBytes:]
	if want, got := binary.BigEndian.Uint32(data[1:]), crc32.Checksum(payload, castagnoli); want != got {
		return nil, fmt.Errorf("%w: checksum %08x, want %08x", ErrEntry, got, want)
	}
	var e structs.Entry
	if err := structs.Decode(payload, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	return &e, nil
}
