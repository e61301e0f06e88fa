package rpc

import (
	"context"
	"io"
	"testing"

	"github.com/debros/debros/internal/acl"
	"github.com/debros/debros/structs"
)

// changes runs a feed until it ends or take fails.
func changes(ctx context.Context, b Backend, req *structs.SQLChangesRequest, take func(*structs.SQLChangesChunk) error) error {
	frames := structs.FrameWriter{Frame: func(payload []byte) error {
		var c structs.SQLChangesChunk
		if err := structs.Decode(payload, &c); err != nil {
			return err
		}
		return take(&c)
	}}
	for _, m := range Streams(b) {
		if m.Name == "SQL.Changes" {
			return m.Handle(ctx, req, nil, &frames)
		}
	}
	return io.ErrUnexpectedEOF
}

func (b *testBackend) keepChanges(t *testing.T) {
	t.Helper()
	mustAsk[structs.SQLDatabaseReply](t, b, "SQL.ApplyDatabase", &structs.SQLDatabaseRequest{
		Op: structs.SQLDatabaseSetChanges, Database: structs.SQLDatabase{Name: structs.DefaultDatabase, ChangesBytes: 1 << 20},
	})
}

func TestFeedBeginsGoesOnAndEndsWithTheServer(t *testing.T) {
	b := newTestBackend(t)
	b.keepChanges(t)
	b.sql(t, "create table t(a)")
	first := b.sql(t, "insert into t values (1), (2)").Index
	var seen []uint64
	follow := &structs.SQLChangesRequest{From: structs.SQLPosition{Index: first, Seq: 1}, Follow: true}
	chunks := 0
	err := changes(t.Context(), b, follow, func(c *structs.SQLChangesChunk) error {
		if chunks++; chunks == 1 && (c.Begin == nil || c.Begin.From != follow.From || c.Begin.Index < first || !c.Begin.KnownLeader) {
			t.Errorf("begin %+v", c.Begin)
		}
		for i := range c.Runs {
			if err := c.Runs[i].Each(func(x *structs.SQLChange) error {
				seen = append(seen, x.At.Index-first, x.At.Seq)
				return nil
			}); err != nil {
				return err
			}
		}
		switch len(seen) {
		case 2: // what there was: the next one comes while it waits
			go func() {
				req := &structs.SQLRequest{Statements: []structs.SQLStatement{statement("insert into t values (3)")}}
				if _, err := ask[structs.SQLReply](context.Background(), b, "SQL.Execute", req); err != nil {
					t.Error(err)
				}
			}()
		case 4:
			close(b.shutdown)
		}
		return nil
	})
	wantKindOf(t, "a server that stops", err, structs.KindUnavailable)
	if len(seen) != 4 || seen[0] != 0 || seen[1] != 2 || seen[2] == 0 || seen[3] != 1 {
		t.Errorf("%v", seen)
	}
}

func TestFeedThatCannotBeGivenIsRefused(t *testing.T) {
	b := newTestBackend(t)
	none := func(*structs.SQLChangesChunk) error { return nil }
	b.may = denyAll{}
	wantKindOf(t, "no right", changes(t.Context(), b, &structs.SQLChangesRequest{}, none), structs.KindDenied)
	b.may = acl.AllowAll()
	wantKindOf(t, "none are kept", changes(t.Context(), b, &structs.SQLChangesRequest{}, none), structs.KindConflict)
	wantKindOf(t, "none are kept, from now", changes(t.Context(), b, &structs.SQLChangesRequest{Latest: true}, none), structs.KindConflict)
	wantKindOf(t, "no database", changes(t.Context(), b, &structs.SQLChangesRequest{Database: "none"}, none), structs.KindNotFound)
	wantKindOf(t, "a bad name", changes(t.Context(), b, &structs.SQLChangesRequest{Database: "../x"}, none), structs.KindInvalid)
	b.keepChanges(t)
	wantKindOf(t, "ahead of the cluster", changes(t.Context(), b, &structs.SQLChangesRequest{From: structs.SQLPosition{Index: 1 << 40, Seq: 1}}, none), structs.KindGone)
	wantKindOf(t, "before the keeping began", changes(t.Context(), b, &structs.SQLChangesRequest{From: structs.SQLPosition{Index: 1, Seq: 1}}, none), structs.KindGone)
	for _, n := range []int64{-1, 1, 1<<20 - 1, 1 << 60} {
		_, err := ask[structs.SQLDatabaseReply](t.Context(), b, "SQL.ApplyDatabase", &structs.SQLDatabaseRequest{
			Op: structs.SQLDatabaseSetChanges, Database: structs.SQLDatabase{Name: structs.DefaultDatabase, ChangesBytes: n},
		})
		wantKindOf(t, "a bad size", err, structs.KindInvalid)
	}
}

func TestFeedEndsWhenTheStateIsFoundWrong(t *testing.T) {
	b := newTestBackend(t)
	b.keepChanges(t)
	first := b.sql(t, "create table t(a)").Index
	chunks := 0
	err := changes(t.Context(), b, &structs.SQLChangesRequest{From: structs.SQLPosition{Index: first, Seq: 1}, Follow: true}, func(*structs.SQLChangesChunk) error {
		if chunks++; chunks > 1 {
			close(b.shutdown) // else it would follow for ever
			return nil
		}
		b.mu.Lock()
		b.unsound = structs.Errorf(structs.KindUnavailable, "the state is wrong")
		b.mu.Unlock()
		b.sql(t, "insert into t values (1)")
		return nil
	})
	wantKindOf(t, "a wrong state", err, structs.KindUnavailable)
	if chunks != 1 {
		t.Errorf("%d chunks: what a wrong state says of changes was sent", chunks)
	}
}
