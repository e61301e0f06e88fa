package rpc

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// sqlChunkBytes is how much of a query's result is gathered before it is sent on.
const sqlChunkBytes = 64 << 10

// sqlBackup streams a database as one SQLite file and nothing else.
func (s *service) sqlBackup(ctx context.Context, c call, req *structs.SQLBackupRequest, out io.Writer) error {
	if err := checkDatabase(&req.Database); err != nil {
		return err
	}
	if !c.may.SQLRead(c.ns, req.Database) {
		return denied("sql:read", req.Database)
	}
	if err := s.b.ReadReady(ctx, &req.QueryOptions); err != nil {
		return err
	}
	return s.b.State().SQLBackup(ctx, &structs.SQLBackupRequest{
		QueryOptions: structs.QueryOptions{Namespace: c.ns}, Database: req.Database, Text: req.Text, Tables: req.Tables, Vacuum: req.Vacuum,
	}, out)
}

// sqlQuery streams the rows of one statement. An error is the stream's where it is about the request or this server;
// one of the statement, and any that comes after rows were sent, is in the last chunk, which tells that the rows are
// not all there are. A statement that cannot be run has a last chunk only.
func (s *service) sqlQuery(ctx context.Context, c call, req *structs.SQLQueryRequest, out io.Writer) error {
	start := time.Now()
	if err := checkDatabase(&req.Database); err != nil {
		return err
	}
	if !c.may.SQLRead(c.ns, req.Database) {
		return denied("sql:read", req.Database)
	}
	size := 0
	if err := checkStatement("the statement", &req.SQLStatement, &size); err != nil {
		return err
	}
	if lim := s.b.Limits().withDefaults().SQLBytesMax; size > lim {
		return structs.Errorf(structs.KindTooLarge, "the statement is too large: it has %d bytes, the limit is %d bytes (limits.sql_bytes_max)", size, lim)
	}
	if err := s.b.ReadReady(ctx, &req.QueryOptions); err != nil {
		return err
	}
	if err := s.fresh(req); err != nil {
		return err
	}
	w := &chunkWriter{out: out}
	err := s.b.State().SQLQuery(ctx, c.ns, req.Database, req.SQLStatement, state.SQLSink{
		Begin: func(index uint64, names, types []string) error {
			b := &structs.SQLBegin{Columns: names, Types: types}
			b.Index = index
			s.stamp(&b.QueryMeta)
			w.chunk.Begin = b
			return nil
		},
		Row: w.row,
	})
	countQuery(start, w.total, err)
	if errors.Is(err, errSink) {
		return err // nobody listens
	}
	done := &structs.SQLDone{Rows: w.total, Elapsed: int64(time.Since(start))}
	if err != nil {
		if refusal := (*structs.Error)(nil); !w.begun && !errors.As(err, &refusal) {
			return err
		}
		done.Err = structs.AsError(err)
	}
	return w.end(done)
}

// fresh refuses a stale read that is staler than the caller allows.
func (s *service) fresh(req *structs.SQLQueryRequest) error {
	if req.Consistency != structs.Stale || req.Freshness <= 0 {
		return nil
	}
	known, age := s.b.LeaderInfo()
	if !known || age > time.Duration(req.Freshness) {
		return structs.ErrStaleRead.WithHint("this server last heard from the leader %s ago; ask for more, or read another way", age.Round(time.Millisecond))
	}
	if !req.FreshnessStrict || s.b.CaughtUp() {
		return nil
	}
	if behind := time.Since(s.b.State().Time()); behind > time.Duration(req.Freshness) {
		return structs.ErrStaleRead.WithHint("this server has yet to apply what came after its last entry, of %s ago; ask for more, or read another way", behind.Round(time.Millisecond))
	}
	return nil
}

// errSink: what reads the stream is gone.
var errSink = errors.New("the stream cannot be written")

// chunkWriter gathers rows into chunks of about sqlChunkBytes.
type chunkWriter struct {
	out   io.Writer
	chunk structs.SQLChunk
	arena []byte // the rows of the chunk, one behind the other
	ends  []int
	frame []byte
	begun bool
	total int64
}

func (w *chunkWriter) row(r structs.SQLRow) error {
	w.arena = append(w.arena, r...)
	w.ends = append(w.ends, len(w.arena))
	w.total++
	if len(w.arena) < sqlChunkBytes && len(w.ends) < sqlChunkBytes/16 {
		return nil
	}
	return w.send()
}

func (w *chunkWriter) end(done *structs.SQLDone) error {
	w.chunk.Done = done
	return w.send()
}

func (w *chunkWriter) send() error {
	w.begun = true
	w.chunk.Rows = w.chunk.Rows[:0]
	start := 0
	for _, end := range w.ends {
		w.chunk.Rows = append(w.chunk.Rows, structs.SQLRow(w.arena[start:end]))
		start = end
	}
	var err error
	if w.frame, err = structs.AppendFrame(w.frame[:0], &w.chunk); err != nil {
		return err
	}
	w.chunk.Begin = nil
	w.arena, w.ends = w.arena[:0], w.ends[:0]
	if _, err := w.out.Write(w.frame); err != nil {
		return errors.Join(errSink, err)
	}
	return nil
}
