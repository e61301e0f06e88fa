package sqldb

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"github.com/debros/debros/state/sqldb/sqlite"
)

// draws gives random() and randomblob() their values: a stream for each statement of each request, so that
// none depends on what another one drew.
type draws struct {
	name               string
	seed, index        uint64
	request, statement int
	source             *rand.ChaCha8 // of the statement that runs; made by its first draw
}

func (d *draws) next() uint64 {
	if d.source == nil {
		key := append([]byte(d.name), 0)
		for _, n := range []uint64{d.seed, d.index, uint64(d.request), uint64(d.statement)} {
			key = binary.BigEndian.AppendUint64(key, n)
		}
		d.source = rand.NewChaCha8(sha256.Sum256(key))
	}
	return d.source.Uint64()
}

// define puts random() and randomblob() in place of SQLite's.
func (d *draws) define(c *conn) error {
	err := c.Func("random", 0, func(call sqlite.Call) { call.Int64(int64(d.next())) })
	if err != nil {
		return err
	}
	return c.Func("randomblob", 1, func(call sqlite.Call) {
		n := max(call.ArgInt64(), 1)
		if n > valueBytesMax {
			call.TooBig()
			return
		}
		call.Blob(int(n), func(b []byte) {
			for len(b) > 0 {
				var word [8]byte
				binary.LittleEndian.PutUint64(word[:], d.next())
				b = b[copy(b, word[:]):]
			}
		})
	})
}
