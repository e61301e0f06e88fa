package overlay

import (
	"errors"
	"strconv"
	"testing"

	ds "github.com/ipfs/go-datastore"
	dsq "github.com/ipfs/go-datastore/query"

	"github.com/debros/debros/structs"
)

func newTestStore() *tableStore {
	return newTableStore(storeLimits{rowsPerOwner: 3, rows: 5, bytes: 200}, ds.Key.BaseNamespace)
}

// row is the n-th of an owner.
func row(n int, owner string) ds.Key { return ds.NewKey("/p/" + strconv.Itoa(n) + "/" + owner) }

func TestATableStoreBoundsEachOwnerAndAll(t *testing.T) {
	ctx, s := t.Context(), newTestStore()
	put := func(n int, owner string, value string) error { return s.Put(ctx, row(n, owner), []byte(value)) }
	for n := range 3 {
		if err := put(n, "a", "v"); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(3, "a", "v"); !errors.Is(err, &structs.Error{Kind: structs.KindQuota}) {
		t.Errorf("a fourth row of one owner: %v", err)
	}
	if err := put(2, "a", "again"); err != nil {
		t.Errorf("a row that is there: %v", err)
	}
	if err := errors.Join(put(0, "b", "v"), put(1, "b", "v")); err != nil {
		t.Fatal(err)
	}
	if err := put(0, "c", "v"); !errors.Is(err, &structs.Error{Kind: structs.KindQuota}) {
		t.Errorf("a sixth row: %v", err)
	}
	if err := put(0, "b", string(make([]byte, 200))); !errors.Is(err, &structs.Error{Kind: structs.KindQuota}) {
		t.Errorf("more bytes than fit: %v", err)
	}
	if v, err := s.Get(ctx, row(0, "b")); err != nil || string(v) != "v" {
		t.Errorf("the row that a larger one did not replace: %q, %v", v, err)
	}
}

func TestATableStoreGivesRoomBack(t *testing.T) {
	ctx, s := t.Context(), newTestStore()
	for range 3 {
		for n := range 3 {
			if err := s.Put(ctx, row(n, "a"), []byte("value")); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 4 { // one of them is not there
			if err := s.Delete(ctx, row(n, "a")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if rows, bytes := s.sizes(); rows != 0 || bytes != 0 || len(s.owners) != 0 || len(s.groups) != 0 {
		t.Errorf("after all are deleted: %d rows, %d bytes, %v, %v", rows, bytes, s.owners, s.groups)
	}
}

func TestATableStoreIsAskedForOneGroupOrAll(t *testing.T) {
	ctx, s := t.Context(), newTestStore()
	for _, k := range []ds.Key{row(1, "a"), row(1, "b"), row(10, "a"), ds.NewKey("/q/1/a")} {
		if err := s.Put(ctx, k, []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string]int{"/p/1": 2, "/p/10": 1, "/p": 3, "/p/": 3, "": 4, "/": 4, "/nothing": 0} {
		res, err := s.Query(ctx, dsq.Query{Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := res.Rest(); err != nil || len(got) != want {
			t.Errorf("%q: %v, %v", prefix, got, err)
		}
	}
}
