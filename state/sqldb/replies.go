package sqldb

import (
	"bytes"
	"fmt"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
)

// What is kept of stored replies: all of a day, but no more than these.
const (
	repliesMax      = 100_000
	repliesBytesMax = 64 << 20
)

// StoredReply is the reply that an earlier request of this id was given in the last day; nil when there was none, or it is not kept any
// more. An error is a fault of this machine.
func (tx *Tx) StoredReply(id string) (*structs.SQLReply, error) {
	rep, err := tx.storedReply(id)
	if err != nil {
		return nil, tx.db.localFault("read a stored reply", err)
	}
	return rep, nil
}

// storedReply is the reply that an earlier request of this id was given in the last day; nil when there was none.
func (tx *Tx) storedReply(id string) (*structs.SQLReply, error) {
	var data []byte
	_, err := tx.db.w.ask(`SELECT reply FROM _debros_replies WHERE id = ? AND ms > ?`, func(s *sqlite.Stmt) bool {
		data = bytes.Clone(s.Bytes(0))
		return false
	}, id, tx.now()-day)
	if err != nil || data == nil {
		return nil, err
	}
	rep := &structs.SQLReply{}
	if err := structs.Decode(data, rep); err != nil {
		return nil, fmt.Errorf("stored reply of request %q: %w", id, err)
	}
	rep.Replayed = true
	return rep, nil
}

// storeReply keeps a reply and drops the oldest ones that are over a day old or too many. bytes is the sum up to and
// with a row, which makes "the last 64 MiB" a comparison.
func (tx *Tx) storeReply(id string, rep *structs.SQLReply) error {
	data, err := structs.Encode(rep)
	if err != nil {
		return fmt.Errorf("encode reply: %w", err)
	}
	w := tx.db.w
	if err := w.do(`DELETE FROM _debros_replies WHERE id = ?`, id); err != nil {
		return err
	}
	var seq, sum int64
	_, err = w.ask(`SELECT seq, bytes FROM _debros_replies ORDER BY seq DESC LIMIT 1`, func(s *sqlite.Stmt) bool {
		seq, sum = s.Int64(0), s.Int64(1)
		return false
	})
	if err != nil {
		return err
	}
	seq, sum = seq+1, sum+int64(len(data))
	if err := w.do(`INSERT INTO _debros_replies (seq, id, ms, bytes, reply) VALUES (?, ?, ?, ?, ?)`, seq, id, tx.now(), sum, data); err != nil {
		return err
	}
	keep := seq
	_, err = w.ask(`SELECT seq, ms, bytes FROM _debros_replies ORDER BY seq`, func(s *sqlite.Stmt) bool {
		keep = s.Int64(0)
		return s.Int64(1) <= tx.now()-day || s.Int64(2) <= sum-repliesBytesMax || keep <= seq-repliesMax
	})
	if err != nil {
		return err
	}
	return w.do(`DELETE FROM _debros_replies WHERE seq < ?`, keep)
}
