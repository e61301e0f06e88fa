package structs

import (
	"crypto/sha256"
	"hash"
)

// SQLDigest sums up rows in their order, to find out later whether a statement still gives them.
type SQLDigest struct{ h hash.Hash }

// NewSQLDigest is the digest of no rows.
func NewSQLDigest() *SQLDigest { return &SQLDigest{sha256.New()} }

// Add adds a row. A row's encoding tells where each value ends, and its length is added, where the row does.
func (d *SQLDigest) Add(r SQLRow) {
	d.h.Write(NewSQLRow(IntegerValue(int64(len(r)))))
	d.h.Write(r)
}

// Sum is the digest of the rows added so far.
func (d *SQLDigest) Sum() []byte { return d.h.Sum(nil) }
