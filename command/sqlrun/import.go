package sqlrun

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/internal/sqltext"
)

const (
	// A batch is one entry of the log: large ones save round trips, small ones let others write in between.
	batchStatementsMax = 500
	batchBytesMax      = 512 << 10
)

// Imported says what an import did.
type Imported struct {
	Statements int64 // of SQL, or rows of CSV, that were done
	Skipped    int64 // statements that only make sense in a file, such as BEGIN
	Batches    int64
	Repeated   int64 // batches that were sent again, since their answer was lost
}

// batcher gathers statements and sends them, each batch as one transaction.
type batcher struct {
	ctx      context.Context
	db       *api.SQL
	patience time.Duration
	pending  []api.SQLStatement
	lines    []int // where each begins
	bytes    int
	done     *Imported
}

func (b *batcher) add(st api.SQLStatement, line, size int) error {
	if len(b.pending) > 0 && b.bytes+size > batchBytesMax {
		if err := b.send(); err != nil {
			return err
		}
	}
	b.pending, b.lines, b.bytes = append(b.pending, st), append(b.lines, line), b.bytes+size
	if len(b.pending) >= batchStatementsMax || b.bytes >= batchBytesMax {
		return b.send()
	}
	return nil
}

func (b *batcher) send() error {
	if len(b.pending) == 0 {
		return nil
	}
	q := &api.SQLRequest{Statements: b.pending, Transaction: true, RequestID: rand.Text()}
	repeated, err := persist(b.ctx, b.db, q, b.patience)
	b.done.Repeated += repeated
	if err != nil {
		var failed *api.SQLError
		if errors.As(err, &failed) && failed.Statement < len(b.lines) {
			return fmt.Errorf("line %d: %w", b.lines[failed.Statement], failed.Err)
		}
		return fmt.Errorf("lines %d to %d: %w", b.lines[0], b.lines[len(b.lines)-1], err)
	}
	b.done.Statements += int64(len(b.pending))
	b.done.Batches++
	b.pending, b.lines, b.bytes = b.pending[:0], b.lines[:0], 0
	return nil
}

// ImportSQL runs the statements of a text in their order, many at a time as one transaction. A batch whose answer
// was lost is sent again, for so long at most; it is done once. What was done before an error stays, and is in
// Imported.
func ImportSQL(ctx context.Context, db *api.SQL, in io.Reader, patience time.Duration) (Imported, error) {
	var done Imported
	b := &batcher{ctx: ctx, db: db, patience: patience, done: &done}
	s := sqltext.NewSplitter(in)
	for s.Next() {
		st := s.Statement()
		switch skip, err := sqltext.FileOnly(st.Text); {
		case err != nil:
			return done, fmt.Errorf("line %d: %w", st.Line, err)
		case skip:
			done.Skipped++
			continue
		}
		if err := b.add(api.Stmt(st.Text), st.Line, len(st.Text)); err != nil {
			return done, err
		}
	}
	if s.Err() != nil {
		return done, s.Err()
	}
	return done, b.send()
}
