package sqldb

import (
	"sync"
	"sync/atomic"
)

const (
	// logBytes is how long the write-ahead log becomes before it is moved into the file, SQLite's own measure.
	logBytes = 4 << 20
	// logStepBytes is what the writer moves itself: about a millisecond. It may be no more, because every entry that is
	// applied waits for it.
	logStepBytes = 1 << 20
)

// walMover moves a database's write-ahead log into its file. SQLite does it in the commit that finds the log long, all at
// once: after a snapshot or a slow reader has held it for seconds, one commit would move hundreds of megabytes. So the bulk
// is moved by a connection and a goroutine of its own, beside the writer, which does the last step: only who writes can
// see to it that nothing is added meanwhile, so that the log begins again at its start.
type walMover struct {
	pageBytes int
	frames    int // in the log after the last commit; with moved owned by the writer
	moved     int // of them, as far as it knows
	again     int // how long the log must be before the goroutine tries again: a reader may have kept it from moving anything

	busy  atomic.Bool  // the goroutine runs
	found atomic.Int64 // how much the goroutine has moved
	err   atomic.Pointer[error]
	wg    sync.WaitGroup
}

func (m *walMover) wait() { m.wg.Wait() }

// moveLog is called after each commit. Its errors are local faults.
func (db *DB) moveLog() error {
	m := &db.log
	if e := m.err.Load(); e != nil {
		return db.localFault("checkpoint", *e)
	}
	if db.w.frames < m.frames { // it has begun again
		m.moved, m.again = 0, 0
		m.found.Store(0)
	}
	m.frames = db.w.frames
	if m.frames*m.pageBytes < logBytes || m.busy.Load() || len(db.pool.pins) > 0 { // a pin lets nothing be moved behind its moment
		return nil
	}
	if found := int(m.found.Load()); found <= m.frames { // else it is of the log before it began again
		m.moved = max(m.moved, found)
	}
	if (m.frames-m.moved)*m.pageBytes <= logStepBytes {
		_, moved, err := db.w.CheckpointPassive()
		if err != nil {
			return db.localFault("checkpoint", err)
		}
		m.moved = max(m.moved, moved)
		return nil
	}
	if m.frames < m.again {
		return nil
	}
	m.again = m.frames + logStepBytes/m.pageBytes
	m.busy.Store(true)
	m.wg.Go(func() {
		defer m.busy.Store(false)
		if err := db.moveBulk(); err != nil {
			m.err.Store(&err)
		}
	})
	return nil
}

// moveBulk moves until what is left is a step for the writer, or a reader keeps it from going on.
func (db *DB) moveBulk() error {
	c, err := openConn(db.path, db.engine.readersName, true, db.o) // of the two the one whose clock nobody sets meanwhile
	if err != nil {
		return err
	}
	defer c.close()
	for last := -1; ; {
		frames, moved, err := c.CheckpointPassive()
		if err != nil {
			return err
		}
		db.log.found.Store(int64(moved))
		if (frames-moved)*db.log.pageBytes <= logStepBytes || moved <= last {
			return nil
		}
		last = moved
	}
}
