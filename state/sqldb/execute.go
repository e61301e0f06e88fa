package sqldb

import (
	"github.com/debros/debros/structs"
)

// run is a request being executed, with what is needed to execute it again.
type run struct {
	r   *structs.SQLRequest
	seq int
	// lost has the statements that cannot be undone but by a rebuild, with what they answered: in the next
	// attempt they are passed over. settled is the same for a request with Transaction, of which nothing stands.
	lost    map[int]lost
	settled []structs.SQLResult
	// flushes has each statement write what virtual tables hold back, after a failure of that which no statement could be told.
	flushes bool

	// Of the last attempt:
	used    int64 // steps made and charged
	charged int64 // those of them that functions were charged
	bytes   int   // of the rows given
	counted bool  // changes() speaks of a statement of this request
	grows   bool  // a statement may have added something
	stats   bool  // the planner's statistics changed
	reply   *structs.SQLReply
	refusal *structs.Error
}

type lost struct {
	result structs.SQLResult
	used   int64 // steps of the request up to and with it
}

func (x *run) budget() int64 {
	if x.r.WorkMax <= 0 {
		return workDefault
	}
	return min(x.r.WorkMax, workMost)
}

func (x *run) tempMax() int64 {
	if x.r.TempBytesMax <= 0 {
		return structs.SQLTempBytesMax
	}
	return x.r.TempBytesMax
}

func (x *run) left() int64 { return x.budget() - x.used }

func (x *run) spent() *structs.Error {
	return structs.Errorf(structs.KindTooLarge, "the request is too much work: it was stopped after %d steps", x.budget()).
		WithHint("look at EXPLAIN QUERY PLAN for a missing index or a join without a condition, or do it in parts")
}

// Execute runs a request. Each statement stands alone, or with Transaction all do together; what fails leaves
// nothing behind, in this request or in its neighbours. refusal: nothing was done, the same on every replica.
// err: this machine failed; the caller must stop.
func (tx *Tx) Execute(r *structs.SQLRequest) (rep *structs.SQLReply, refusal *structs.Error, err error) {
	if tx.done {
		return nil, nil, errTxDone
	}
	x := &run{r: r, seq: tx.seq}
	tx.seq++
	if refusal := validate(r); refusal != nil {
		return nil, refusal, nil
	}
	if tx.db.w.capture.full() {
		return nil, structs.Errorf(structs.KindRateLimited, "the requests that were sent at the same time changed too much to keep all of their changes").
			WithHint("nothing was done: send it again"), nil
	}
	for attempt := 0; ; attempt++ {
		// A request's budget may be more than the waste allowed: after its first loss it is told what was wrong with it.
		if tx.waste > wasteMax && attempt != 1 {
			return nil, structs.Errorf(structs.KindRateLimited, "too many requests that were sent at the same time had to be undone").
				WithHint("nothing was done: send it again"), nil
		}
		again, err := tx.once(x)
		if err != nil && (x.flushes || tx.refusalOf(err) == nil) {
			return nil, nil, tx.db.localFault("execute", err)
		}
		if x.flushes = x.flushes || err != nil; !again && err == nil {
			break
		}
		tx.waste += x.used
		if err := tx.rebuild(); err != nil {
			return nil, nil, err
		}
	}
	if x.refusal == nil {
		tx.ran = append(tx.ran, x)
	}
	return x.reply, x.refusal, nil
}

const requestIDBytesMax = 128

func validate(r *structs.SQLRequest) *structs.Error {
	if len(r.Statements)+len(r.Guards) == 0 {
		return structs.Errorf(structs.KindInvalid, "the request has no statement")
	}
	if len(r.RequestID) > requestIDBytesMax {
		return structs.Errorf(structs.KindTooLarge, "a request id may have %d bytes", requestIDBytesMax)
	}
	return nil
}

// once makes one attempt. again: the transaction is lost or must be, and x has noted why.
func (tx *Tx) once(x *run) (again bool, err error) {
	w := tx.db.w
	x.used, x.charged, x.bytes, x.counted, x.stats, x.grows, x.reply, x.refusal = 0, 0, 0, false, false, false, nil, nil
	w.SetLastInsertRowID(0)
	w.changesBase = w.TotalChanges()
	w.draws.request = x.seq
	w.capture.request()
	tx.db.engine.nowMS = tx.now()
	if x.r.RequestID != "" {
		if x.reply, err = tx.storedReply(x.r.RequestID); x.reply != nil || err != nil {
			return false, err
		}
	}
	if x.settled == nil {
		if x.refusal, err = tx.guards(x); x.refusal != nil || err != nil {
			return false, err
		}
	}
	results, again, err := tx.statements(x)
	if again || err != nil {
		return again, err
	}
	x.reply = &structs.SQLReply{WriteMeta: structs.WriteMeta{Index: tx.stamp.Index}, Results: results}
	if x.r.RequestID != "" {
		err = tx.storeReply(x.r.RequestID, x.reply)
	}
	return false, err
}

// statements runs a request's statements.
func (tx *Tx) statements(x *run) (results []structs.SQLResult, again bool, err error) {
	if x.settled != nil {
		return x.settled, false, nil
	}
	w, whole := tx.db.w, x.r.Transaction
	before := w.capture.mark()
	if whole {
		if err := w.do("SAVEPOINT request"); err != nil {
			return nil, false, err
		}
	}
	results = make([]structs.SQLResult, 0, len(x.r.Statements))
	failed := false
	for i := range x.r.Statements {
		if l, ok := x.lost[i]; ok {
			results, x.used = append(results, l.result), l.used
			continue
		}
		var res structs.SQLResult
		isLost, err := tx.statement(x, i, &res)
		if err != nil {
			return nil, false, err
		}
		results = append(results, res)
		if isLost {
			if whole {
				x.settled = results
			} else {
				if x.lost == nil {
					x.lost = map[int]lost{}
				}
				x.lost[i] = lost{res, x.used}
			}
			return nil, true, nil
		}
		if failed = res.Err != nil && whole; failed {
			break
		}
	}
	// FTS5 holds back what was inserted until a savepoint or COMMIT, where its refusal would be nobody's. Requests
	// of earlier versions, which charge no bytes, are executed as they were then.
	if !failed && x.r.BytesPerStep > 0 && w.virtual {
		if err := w.flush(); err != nil {
			return nil, false, err
		}
	}
	if !whole {
		return results, false, nil
	}
	if !failed && len(results) > 0 && w.DeferredForeignKeys() {
		results[len(results)-1] = structs.SQLResult{Err: brokenForeignKey()}
		failed = true
	}
	switch {
	case !failed:
		err = w.do("RELEASE request")
	case x.stats:
		x.settled = results
		return nil, true, nil
	default:
		w.capture.cut(before)
		err = w.undo("request")
	}
	return results, false, err
}

// flush has virtual tables write what they hold back.
func (w *writer) flush() error {
	if err := w.do("SAVEPOINT flush"); err != nil {
		return err
	}
	return w.do("RELEASE flush")
}

// flush is after a statement, to which the failure belongs.
func (tx *Tx) flush() (outcome, error) {
	err := tx.db.w.flush()
	if refusal := tx.refusalOf(err); refusal != nil {
		return outcome{refusal: refusal, undo: true}, nil
	}
	return outcome{}, err
}

func brokenForeignKey() *structs.Error {
	return structs.Errorf(structs.KindConflict, "FOREIGN KEY constraint failed")
}
