package state

import (
	"fmt"

	"github.com/debros/debros/structs"
)

// txnSQL does one operation of a transaction on its database. Whatever comes of the operation, settleSQL must end the
// transaction: the database is marked when the first operation meets it. With requestID the database keeps what the operation gave.
//
// Where the database has the entry already, from before a crash, the operation did what the transaction did: with a
// failure the database has a note of it.
func (t *Txn) txnSQL(ns structs.Namespace, op *structs.TxnSQLOp, requestID string) (result *structs.TxnSQLResult, failure string, err error) {
	d, refusal := t.databaseToWrite(ns, op.Database)
	if refusal != nil {
		return nil, refusalText(refusal), nil
	}
	w, err := t.openDatabase(d)
	if err != nil {
		return nil, "", err
	}
	if w.tx == nil {
		failed, err := w.file.db.Failed(t.index, t.txns)
		if err != nil {
			return nil, "", w.fault(err)
		}
		if failed {
			failure = "the transaction failed before this server was started"
		}
		return &structs.TxnSQLResult{}, failure, nil // who asked is gone
	}
	if w.mark == nil {
		mark, err := w.tx.Savepoint()
		if err != nil {
			return nil, "", w.fault(err)
		}
		w.mark = &mark
	}
	reply, refusal, err := t.execute(w, &structs.SQLRequest{
		Database: op.Database, Statements: op.Statements, Transaction: true, Guards: op.Guards, RequestID: requestID,
		WorkMax: op.WorkMax, BytesPerStep: op.BytesPerStep, TempBytesMax: op.TempBytesMax, RowsMax: op.RowsMax, BytesMax: op.BytesMax,
	})
	switch {
	case err != nil:
		return nil, "", w.fault(err)
	case refusal != nil:
		return nil, refusalText(refusal), nil
	}
	for i, r := range reply.Results {
		if r.Err != nil {
			return nil, fmt.Sprintf("statement %d: %s", i+1, refusalText(r.Err)), nil
		}
	}
	return &structs.TxnSQLResult{Results: reply.Results}, "", nil
}

// refusalText is a refusal where only a text has room.
func refusalText(e *structs.Error) string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + " (" + e.Hint + ")"
}

func (w *sqlWrite) fault(err error) error {
	return fmt.Errorf("database %s of namespace %s: %w", w.row.Name, w.row.Namespace, err)
}

// settleSQL ends a transaction command on the databases it met, in the order in which the entry met them: what it did
// there stands, or is taken back. The tables have been settled before.
func (t *Txn) settleSQL(keep bool) error {
	kept := t.sqlOrder[:0:0]
	for i, w := range t.sqlOrder {
		gone, err := t.settle(w, keep)
		if err != nil {
			t.sqlOrder = append(kept, t.sqlOrder[i:]...)
			return w.fault(err)
		}
		if !gone {
			kept = append(kept, w)
		}
	}
	t.sqlOrder = kept
	return nil
}

// settle is settleSQL for one database; gone: the entry has nothing to do with it any more.
func (t *Txn) settle(w *sqlWrite, keep bool) (gone bool, err error) {
	if w.mark == nil {
		return false, nil
	}
	mark := *w.mark
	w.mark = nil
	switch {
	case keep:
		return false, w.tx.Release(mark)
	case t.view().database(nil, w.row.Namespace, w.row.Name) != nil:
		return false, w.tx.RollbackTo(mark)
	}
	// The transaction had made the database, as its first write does. The row is gone, and so must be the file.
	if err := w.tx.Rollback(); err != nil {
		return false, err
	}
	delete(t.sql, w.file.name)
	t.files.drop(w.row)
	t.files.release(w.file)
	return true, nil
}

// noteFailed notes in every database that a failed transaction names that it failed, also in those that it did not come
// to: whichever of them outlives a crash that another one does not, the entry comes out the same again.
func (t *Txn) noteFailed(r *structs.TxnRequest) error {
	for i := range r.Ops {
		op := r.Ops[i].SQL
		if op == nil {
			continue
		}
		d := t.view().database(nil, r.Namespace, databaseName(op.Database))
		if d == nil {
			continue
		}
		w, err := t.openDatabase(d)
		if err != nil {
			return err
		}
		if w.tx != nil {
			w.tx.NoteFailed(t.txns)
		}
	}
	return nil
}
