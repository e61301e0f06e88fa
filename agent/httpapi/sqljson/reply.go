package sqljson

import (
	"strconv"

	"github.com/debros/debros/structs"
)

// AppendReply encodes the reply of /v1/sql/execute behind b. In a result, what is zero is left out.
func AppendReply(b []byte, rep *structs.SQLReply) ([]byte, error) {
	b, err := appendResults(append(b, `{"results":[`...), rep.Results)
	if err != nil {
		return nil, err
	}
	b = strconv.AppendUint(append(b, `],"index":`...), rep.Index, 10)
	if rep.Replayed {
		b = append(b, `,"replayed":true`...)
	}
	return append(b, '}'), nil
}

// AppendTxnResult encodes what an operation of /v1/txn gave, with results as AppendReply has them.
func AppendTxnResult(b []byte, res *structs.TxnSQLResult) ([]byte, error) {
	b, err := appendResults(append(b, `{"Results":[`...), res.Results)
	return append(b, "]}"...), err
}

func appendResults(b []byte, results []structs.SQLResult) ([]byte, error) {
	for i := range results {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendResult(b, &results[i]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendResult(b []byte, res *structs.SQLResult) ([]byte, error) {
	b = append(b, '{')
	start := len(b)
	field := func(name string) {
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), name...), `":`...)
	}
	if res.RowsAffected != 0 {
		field("rows_affected")
		b = strconv.AppendInt(b, res.RowsAffected, 10)
	}
	if res.LastInsertID != 0 {
		field("last_insert_id")
		b = strconv.AppendInt(b, res.LastInsertID, 10)
	}
	if len(res.Columns) > 0 {
		field("columns")
		b = AppendStrings(b, res.Columns)
		field("types")
		b = AppendStrings(b, res.Types)
	}
	if len(res.Rows) > 0 {
		field("rows")
		b = append(b, '[')
		var err error
		if b, err = AppendRows(b, res.Rows, ','); err != nil {
			return nil, err
		}
		b = append(b, ']')
	}
	if res.Err != nil {
		field("error")
		b = AppendError(b, res.Err)
	}
	return append(b, '}'), nil
}

// AppendBegin encodes the beginning of a query's reply: an object that the caller closes.
func AppendBegin(b []byte, begin *structs.SQLBegin) []byte {
	b = AppendStrings(append(b, `{"columns":`...), begin.Columns)
	return AppendStrings(append(b, `,"types":`...), begin.Types)
}

// AppendRows encodes rows with sep between them.
func AppendRows(b []byte, rows []structs.SQLRow, sep byte) ([]byte, error) {
	for i, row := range rows {
		if i > 0 {
			b = append(b, sep)
		}
		var err error
		if b, err = AppendRow(b, row); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// AppendStrings encodes a list of strings, [] for nil.
func AppendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendString(b, s)
	}
	return append(b, ']')
}

// AppendError encodes an error as the body of a failed request shows it.
func AppendError(b []byte, e *structs.Error) []byte {
	b = AppendString(append(b, `{"kind":`...), e.Kind.String())
	b = AppendString(append(b, `,"message":`...), e.Message)
	if e.Hint != "" {
		b = AppendString(append(b, `,"hint":`...), e.Hint)
	}
	return append(b, '}')
}

// AppendMilliseconds encodes nanoseconds as milliseconds, to the microsecond.
func AppendMilliseconds(b []byte, ns int64) []byte {
	return strconv.AppendFloat(b, float64(ns)/1e6, 'f', 3, 64)
}
