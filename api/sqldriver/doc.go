// Package sqldriver lets programs that use database/sql work on a debros database. It is made of package
// api and the standard library.
//
//	db := sqldriver.OpenDB(client, sqldriver.Options{Database: "shop"})
//
// Contract. A *sql.DB of it is safe for concurrent use, as any; its connections are handles of the client and
// cost nothing, so its pool needs no tuning. What is done outside a transaction is done once, also when an
// answer is lost. Reads see every write acknowledged before they began, unless Options say otherwise. Every
// call ends with its context. Errors are those of package api.
//
// Values. An argument is what api.Stmt takes, by position or with sql.Named. A value comes back as SQLite
// stores it, nil, int64, float64, string or []byte, except that a text in a column declared as DATE, DATETIME
// or TIMESTAMP comes back as a time.Time if it is a time in a form that package api reads. (Where there is no
// declaration, as in max(t), it is a text: see api.ParseSQLTime.) ColumnType.DatabaseTypeName is the declared
// type in upper case without what stands in parentheses, "" for an expression.
//
// # Transactions
//
// The servers hold nothing open for anybody: BEGIN has no place to stand. A transaction lives in the program
// until Commit, which is one request, done whole or not at all:
//
//   - A read is made at once, and what it gave is noted: a digest of its rows, or the row where only the
//     first was asked for. When several rows were read but not all, Close reads the rest.
//   - A write waits for Commit. Its sql.Result answers with ErrNotCommitted until then.
//   - Commit sends the writes with the reads as guards. If any of them would now give something else, nothing
//     is done and the error is ErrConflict: the transaction may be made again from its beginning, which is
//     what Retry does. So what is committed was done as if there had been nothing else at that moment.
//
// From this follows what is different from a database that locks:
//
//   - A read behind a write in one transaction would not see it, and is refused: read first, then write. So is
//     RETURNING. Several writes see each other.
//   - Until Commit, two reads may have seen different states; then Commit fails. A transaction that only read,
//     more than once, is committed by asking too, which takes a token that may write; one read needs no asking.
//   - A read that differs each time, by random() or the time of day, never holds: pass such values as arguments.
//   - Commit ends with the context that was given to BeginTx. If its error is api.ErrUnknownResult, it was
//     asked again in vain, and the transaction may or may not have been done.
//
// sql.LevelDefault, LevelSerializable and LevelLinearizable are that. LevelReadCommitted notes no reads: the
// writes are done whole, whatever was read before. The other levels are refused.
package sqldriver
