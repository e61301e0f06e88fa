package sqldb

import (
	"bytes"

	"github.com/debros/debros/structs"
)

// guards checks a request's conditions.
func (tx *Tx) guards(x *run) (*structs.Error, error) {
	for i := range x.r.Guards {
		g := &x.r.Guards[i]
		tx.db.w.draws.statement, tx.db.w.draws.source = -1-i, nil
		if refusal, err := tx.guard(x, i, g); refusal != nil || err != nil {
			return refusal, err
		}
	}
	return nil, nil
}

func (tx *Tx) guard(x *run, i int, g *structs.SQLGuard) (*structs.Error, error) {
	p, refusal, err := tx.db.w.prepare(g.SQL)
	if err != nil {
		return nil, err
	}
	if refusal != nil {
		return guardRefused(i, refusal), nil
	}
	if p.Stmt == nil || !p.readOnly || len(p.columns) == 0 || !blank(g.SQL[len(g.SQL)-p.tail:]) {
		return structs.Errorf(structs.KindInvalid, "guard %d is not a single statement that only reads", i+1), nil
	}
	if _, refusal, err := p.bind(&g.SQLStatement, 0); refusal != nil || err != nil {
		return guardRefused(i, refusal), err
	}
	var (
		rows  int64
		first structs.SQLRow
		row   structs.SQLRow
		all   = structs.NewSQLDigest()
	)
	refusal, _, err = tx.step(x, p, func() *structs.Error {
		row = p.row(row[:0])
		if rows == 0 {
			first = bytes.Clone(row)
		}
		rows++
		all.Add(row)
		return nil
	})
	tx.db.w.cache.trim(g.SQL)
	if refusal != nil || err != nil {
		return guardRefused(i, refusal), err
	}
	switch {
	case g.Rows != nil && *g.Rows != rows:
		return structs.Errorf(structs.KindConflict, "guard %d does not hold: it gives %d rows, not %d", i+1, rows, *g.Rows), nil
	case g.First != nil && !bytes.Equal(g.First, first):
		return structs.Errorf(structs.KindConflict, "guard %d does not hold: its first row has other values", i+1), nil
	case g.Digest != nil && !bytes.Equal(g.Digest, all.Sum()):
		return structs.Errorf(structs.KindConflict, "guard %d does not hold: the rows that were read have changed", i+1), nil
	}
	return nil, nil
}

func guardRefused(i int, refusal *structs.Error) *structs.Error {
	if refusal == nil {
		return nil
	}
	return structs.Errorf(refusal.Kind, "guard %d: %s", i+1, refusal.Message).WithHint("%s", refusal.Hint)
}
