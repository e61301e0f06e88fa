package rpc

import (
	"errors"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/debros/debros/structs"
)

// SQL is counted on the server that does it: writes on the leader, reads where they are answered. The sink puts its
// service name (debros) in front. The list:
//
//	debros.sql.statements{kind}  that were run; kind is execute or query
//	debros.sql.errors{kind}      of them, those that failed, and requests that were refused or lost
//	debros.sql.rows{kind}        written by execute, read by query
//	debros.sql.execute           ms of a request, from its arrival at the leader to its commit
//	debros.sql.query             ms of a query, to its last row
func countSQL(kind string, start time.Time, statements int, rows int64, failed int) {
	labels := []metrics.Label{{Name: "kind", Value: kind}}
	metrics.IncrCounterWithLabels([]string{"sql", "statements"}, float32(statements), labels)
	if rows > 0 {
		metrics.IncrCounterWithLabels([]string{"sql", "rows"}, float32(rows), labels)
	}
	if failed > 0 {
		metrics.IncrCounterWithLabels([]string{"sql", "errors"}, float32(failed), labels)
	}
	metrics.MeasureSince([]string{"sql", kind}, start)
}

// countExecute counts a request that was sent to the log.
func countExecute(start time.Time, req *structs.SQLRequest, rep *structs.SQLReply, err error) {
	if err != nil {
		countSQL("execute", start, len(req.Statements), 0, 1)
		return
	}
	var rows int64
	failed := 0
	for i := range rep.Results {
		rows += rep.Results[i].RowsAffected
		if rep.Results[i].Err != nil {
			failed++
		}
	}
	countSQL("execute", start, len(rep.Results), rows, failed)
}

// countQuery counts a query that was run.
func countQuery(start time.Time, rows int64, err error) {
	failed := 0
	if err != nil && !errors.Is(err, structs.ErrQueryWrites) { // asking whether a statement reads is no failure
		failed = 1
	}
	countSQL("query", start, 1, rows, failed)
}
