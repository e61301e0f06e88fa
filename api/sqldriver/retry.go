package sqldriver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Of any transactions that meet, one is committed; the pauses spread the others so that each gets its turn
// long before it has tried so often, even where dozens want the same row.
const (
	triesMax     = 30
	retryWaitMin = 2 * time.Millisecond
	retryWaitMax = 250 * time.Millisecond
)

// Retry makes a transaction: it begins one, calls fn, and commits. When that is an ErrConflict it does all
// of it again, after a pause, until ctx ends or it has tried often enough; so fn should have no effect but
// in the transaction. fn neither commits nor rolls back.
//
// An error of fn's rolls back and is returned as it is, unless fn read more than once and not of one state: what
// it concluded from that may be wrong, and it is called again as after a conflict.
func Retry(ctx context.Context, db *sql.DB, o *sql.TxOptions, fn func(*sql.Tx) error) error {
	for n := 0; ; n++ {
		err := once(ctx, db, o, fn)
		if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil { // it was rolled back for that
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
		if n+1 == triesMax {
			return fmt.Errorf("%w (tried %d times)", err, triesMax)
		}
		pause := min(retryWaitMin<<min(n, 10), retryWaitMax)
		t := time.NewTimer(rand.N(pause) + 1)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// retried is the key of a context in which BeginTx finds a **tx to fill, so that Retry has more than a *sql.Tx.
type retried struct{}

func once(ctx context.Context, db *sql.DB, o *sql.TxOptions, fn func(*sql.Tx) error) error {
	var inner *tx
	outer, err := db.BeginTx(context.WithValue(ctx, retried{}, &inner), o)
	if err != nil {
		return err
	}
	defer outer.Rollback() // after Commit it does nothing; it is for fn's panic
	if err := fn(outer); err != nil {
		if outer.Rollback() != nil || inner == nil || inner.unknown != nil {
			return err
		}
		if torn := inner.checkReads(); errors.Is(torn, ErrConflict) {
			return torn
		}
		return err
	}
	return outer.Commit()
}
