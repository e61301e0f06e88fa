package fsm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// sqlOne is the first value of a query's first row in the default database, an integer or a text.
func sqlOne(t *testing.T, f *FSM, query string) structs.SQLValue {
	t.Helper()
	var v structs.SQLValue
	err := f.Store().SQLQuery(context.Background(), structs.DefaultNamespace, "", structs.SQLStatement{SQL: query}, state.SQLSink{
		Begin: func(uint64, []string, []string) error { return nil },
		Row:   func(r structs.SQLRow) (err error) { v, _, err = r.Next(); return err },
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRestoredDatabaseHasItsRowsAndGoesOn(t *testing.T) {
	f := sample(t)
	g := restored(t, stream(t, f))
	if v := sqlOne(t, g, "select group_concat(a) from t"); v.Bytes() != "1,x" {
		t.Fatalf("%v", v)
	}
	more := sql(t, "insert into t values(random())", "select count(*) from t")
	for _, fsm := range []*FSM{f, g} {
		for _, res := range apply(t, fsm, 40, more)[0].Reply.(*structs.SQLReply).Results {
			if res.Err != nil {
				t.Fatal(res.Err)
			}
		}
	}
	const last = "select a from t where rowid=3"
	if a, b := sqlOne(t, f, last), sqlOne(t, g, last); a != b || a.Integer() == 0 {
		t.Fatalf("the replicas drew %v and %v", a, b)
	}
	if _, list, _ := g.Store().SQLDatabaseList(nil, structs.DefaultNamespace, "", 0); len(list) != 2 || list[1].PageBytes != 1024 {
		t.Fatalf("databases %+v", list)
	}
}

func TestStatementFailureSparesTheRestOfTheEntry(t *testing.T) {
	f := New(newStore(t), nil)
	rs := apply(t, f, 2, sql(t, "create table t(a unique)", "insert into t values(1)"), sql(t, "insert into t values(1)", "insert into t values(2)"), set(t, "k", "v"))
	second := rs[1].Reply.(*structs.SQLReply).Results
	if second[0].Err == nil || second[1].Err != nil || rs[2].Err != nil {
		t.Fatalf("%+v", rs)
	}
	if v := sqlOne(t, f, "select group_concat(a) from t"); v.Bytes() != "1,2" {
		t.Fatalf("%v", v)
	}
}

func TestDiskFaultStopsTheFSMAndAnswersNobody(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sql")
	store := state.New()
	if err := store.OpenDatabases(dir, ""); err != nil {
		t.Fatal(err)
	}
	f := New(store, nil)
	var told []error
	f.OnFault(func(err error) { told = append(told, err) })
	apply(t, f, 2, set(t, "before", "1"))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	response := f.Apply(entryLog(t, 3, &structs.Entry{Commands: []structs.Command{set(t, "with", "1"), sql(t, "create table t(a)")}}))
	err, ok := response.(error)
	if !ok || len(told) != 1 || !errors.Is(told[0], err) || !strings.Contains(err.Error(), "entry 3") {
		t.Fatalf("response %v, told %v", response, told)
	}
	if r := f.Apply(entryLog(t, 4, &structs.Entry{Commands: []structs.Command{set(t, "after", "1")}})); r == nil || len(told) != 1 {
		t.Fatalf("the next entry: %v; told %v", r, told)
	}
	if f.AppliedIndex() != 2 || f.Store().Index() != 2 {
		t.Fatalf("applied %d, store at %d", f.AppliedIndex(), f.Store().Index())
	}
	if _, err := f.Snapshot(); err == nil {
		t.Fatal("a snapshot was taken of what may be half an entry")
	}
	_ = store.CloseDatabases()
	var _ raft.FSM = f
}

func TestPieceOfADatabaseNeedsItsRow(t *testing.T) {
	row := &structs.SQLDatabase{Namespace: "n", Name: "d", CreateIndex: 1}
	for name, write := range map[string]func(*recordWriter) error{
		"no row": func(rw *recordWriter) error { return rw.payload(recordDatabaseChunk, []byte("x")) },
		"not a database": func(rw *recordWriter) error {
			return errors.Join(rw.row(recordDatabase, row), rw.payload(recordDatabaseChunk, []byte("SQLite format 4")))
		},
		"twice": func(rw *recordWriter) error {
			return errors.Join(rw.row(recordDatabase, row), rw.row(recordDatabase, row))
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := crafted(t, func(rw *recordWriter) {
				if err := errors.Join(rw.row(recordHeader, &header{}), write(rw)); err != nil {
					t.Fatal(err)
				}
			})
			if err := New(newStore(t), nil).Restore(nopCloser(data)); !errors.Is(err, ErrSnapshot) {
				t.Fatalf("%v", err)
			}
			sameVerdict(t, data)
		})
	}
}
