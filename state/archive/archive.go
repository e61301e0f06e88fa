// Package archive is the file format of user snapshots, what `debros snapshot save` leaves on disk.
//
// A file is a gzip-compressed tar with exactly these regular members, in this order:
//
//	meta.json    Meta as JSON: what the state is, and how long
//	state.bin    the state, opaque here (package fsm's snapshot stream, which has checksums of its own)
//	SHA256SUMS   "<hex>  <name>" lines for the two members before it, as sha256sum(1) writes and checks them
//
// meta.json is first so that a reader knows the size to expect before it sees the state, and the sums
// are last so that a file is written in one pass from a stream. Format versions are append only: a
// reader refuses a Version that it does not know.
package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// FormatVersion is the version of files that Write makes, and the newest that Read accepts.
const FormatVersion = 1

// Member names, in file order.
const (
	metaName  = "meta.json"
	stateName = "state.bin"
	sumsName  = "SHA256SUMS"
)

// Bounds of the members around the state: far above what Write makes, far below what hurts.
const (
	metaBytesMax = 64 << 10
	sumsBytesMax = 4 << 10
	// padBytesMax is how many zero bytes may follow the end of the tar: tar(1) fills blocks of 10 KiB.
	padBytesMax = 10 << 10
)

// ErrCorrupt is in the chain of every error that Read returns because the file is not a whole and
// unharmed archive; an error without it comes from the reader or from the writer given to Read.
var ErrCorrupt = errors.New("snapshot archive is damaged or incomplete")

// ErrVersion is in the chain when the archive was written by a newer debros.
var ErrVersion = errors.New("snapshot archive has an unknown format version")

// Meta describes the state in an archive.
type Meta struct {
	ID        string         // Raft's name for the snapshot
	Index     uint64         // last Raft index in the state
	Term      uint64         // Raft term of that index
	Version   int            // of this file format; Write sets it
	CreatedAt time.Time      // by the clock of the node that wrote it
	NodeID    string         `json:",omitempty"` // the node that wrote it
	Node      string         `json:",omitempty"` // its name
	Build     string         `json:",omitempty"` // its build version
	SizeBytes int64          // of the state, uncompressed
	Counts    map[string]int `json:",omitempty"` // rows per table, for people; not checked against the state
}

func (m *Meta) check() error {
	if m.Version != FormatVersion {
		return fmt.Errorf("%w: %d (this build knows %d)", ErrVersion, m.Version, FormatVersion)
	}
	if m.SizeBytes < 0 {
		return fmt.Errorf("negative state size %d", m.SizeBytes)
	}
	return nil
}

// sums renders the SHA256SUMS member.
func sums(metaSum, stateSum [sha256.Size]byte) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", hex.EncodeToString(metaSum[:]), metaName)
	fmt.Fprintf(&b, "%s  %s\n", hex.EncodeToString(stateSum[:]), stateName)
	return []byte(b.String())
}
