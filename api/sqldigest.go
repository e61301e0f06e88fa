package api

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
)

// SQLDigest sums up the rows of a query in their order, so that SQLGuard.Digest can ask later whether the
// statement still gives the same.
type SQLDigest struct {
	hash hash.Hash
	row  []byte // of the last row, for its memory
}

// NewSQLDigest is the digest of no rows.
func NewSQLDigest() *SQLDigest { return &SQLDigest{hash: sha256.New()} }

// Add adds a row.
func (d *SQLDigest) Add(row *SQLRow) {
	d.row = d.row[:0]
	for _, v := range row.values {
		d.row = appendCoded(d.row, v)
	}
	length := appendCoded(make([]byte, 0, 1+binary.MaxVarintLen64), int64(len(d.row)))
	d.hash.Write(length)
	d.hash.Write(d.row)
}

// Sum is the digest of the rows added so far.
func (d *SQLDigest) Sum() []byte { return d.hash.Sum(nil) }

// The servers' code of a value begins with its kind.
const (
	codeNull byte = iota
	codeInteger
	codeReal
	codeText
	codeBlob
)

// appendCoded appends a value as the servers encode it in a row; what they compare is the sum of that.
func appendCoded(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return binary.AppendVarint(append(b, codeInteger), v)
	case float64:
		return binary.BigEndian.AppendUint64(append(b, codeReal), math.Float64bits(v))
	case string:
		return append(binary.AppendUvarint(append(b, codeText), uint64(len(v))), v...)
	case []byte:
		return append(binary.AppendUvarint(append(b, codeBlob), uint64(len(v))), v...)
	}
	return append(b, codeNull)
}
