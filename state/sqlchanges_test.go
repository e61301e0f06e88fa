package state

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

// feed is the changes of a database behind a position.
func feed(t *testing.T, s *Store, database string, from structs.SQLPosition) (list []string) {
	t.Helper()
	runs, _, err := s.SQLChanges(context.Background(), nil, ns, database, from, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range runs {
		if err := runs[i].Each(func(c *structs.SQLChange) error {
			list = append(list, fmt.Sprint(c.At, " ", c.Op, " ", c.TableName(), " ", c.RowID))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func TestChangesAreKeptOnceThroughACrash(t *testing.T) {
	entries := func(r *rig) {
		if refusal := r.database(structs.SQLDatabaseSetChanges, structs.SQLDatabase{Name: structs.DefaultDatabase, ChangesBytes: 1 << 20}); refusal != nil {
			t.Fatal(refusal)
		}
		r.exec("", "create table t(a)")
		if refusal := r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: "b", ChangesBytes: 2 << 20}); refusal != nil {
			t.Fatal(refusal)
		}
		r.exec("", "insert into t values(random())")
		r.exec("b", "create table u(a)")
	}
	r := openLeftBehind(t, filepath.Join(t.TempDir(), "sql"), "boot 1")
	entries(r)
	again := openLeftBehind(t, crashed(t, r.s), "boot 1")
	entries(again) // of the same indexes: the files have them
	for _, r := range []*rig{r, again} {
		r.exec("", "delete from t")
		got := fmt.Sprint(feed(t, r.s, "", structs.SQLPosition{}), feed(t, r.s, "b", structs.SQLPosition{}))
		if want := "[12.1 schema t 0 14.1 insert t 1 16.1 delete t 1] [15.1 schema u 0]"; got != want {
			t.Errorf("%s, not %s", got, want)
		}
		if _, d := r.s.SQLDatabaseGet(nil, ns, "b"); d == nil || d.ChangesBytes != 2<<20 || !r.s.KeepsChanges() {
			t.Errorf("%+v", d)
		}
	}
	snap := r.s.Snapshot()
	defer snap.Release()
	restored := snapshotFile(t, snap, structs.DefaultDatabase)
	if got := fmt.Sprint(feed(t, restored, "", structs.SQLPosition{Index: 12, Seq: 1})); got != "[14.1 insert t 1 16.1 delete t 1]" {
		t.Errorf("after a restore: %s", got)
	}
}

func TestChangesWakeWhoWaitsForThem(t *testing.T) {
	r := newSQLRig(t)
	r.exec("", "create table t(a)")
	ws := memdb.NewWatchSet()
	if _, _, err := r.s.SQLChanges(context.Background(), ws, ns, "", structs.SQLPosition{}, 1); structs.KindOf(err) != structs.KindConflict {
		t.Fatalf("changes that are not kept: %v", err)
	}
	r.database(structs.SQLDatabaseSetChanges, structs.SQLDatabase{Name: structs.DefaultDatabase, ChangesBytes: 1 << 20})
	ws = memdb.NewWatchSet()
	if _, _, err := r.s.SQLChanges(context.Background(), ws, ns, "", structs.SQLPosition{}, 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ws.WatchCtx(ctx) == nil {
		t.Fatal("nothing has changed")
	}
	r.exec("", "insert into t values (1)")
	if err := ws.WatchCtx(t.Context()); err != nil {
		t.Fatal(err)
	}
	if at, err := r.s.SQLLastChange(t.Context(), ns, ""); err != nil || at != (structs.SQLPosition{Index: r.index, Seq: 1}) {
		t.Errorf("the last is %s, %v", at, err)
	}
}
