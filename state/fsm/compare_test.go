package fsm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

// hashesAt has f apply an entry that asks for a comparison and gives the hash of each part of what was pinned then, after the
// entries that more applies.
func hashesAt(t *testing.T, f *FSM, index uint64, more func()) map[string]string {
	t.Helper()
	var pinned *Pinned
	f.OnCompare(func(pin func() *Pinned) { pinned = pin() })
	if r := apply(t, f, index, command(t, structs.CommandVerify, &structs.VerifyRequest{})); r[0].Err != nil || pinned == nil || pinned.Index != index {
		t.Fatalf("%+v, pinned %+v", r, pinned)
	}
	f.OnCompare(nil)
	more()
	defer pinned.Release()
	out := map[string]string{}
	rest := func() {}
	if err := pinned.Tables(rest, func(name, hash string) { out[name] = hash }); err != nil {
		t.Fatal(err)
	}
	if err := pinned.Databases(func(d *structs.SQLDatabase) error {
		hash, err := pinned.Database(t.Context(), d, rest)
		out["database "+d.Name] = hash
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReplicasHashTheSameAtTheSameEntry(t *testing.T) {
	f := sample(t)
	g := restored(t, stream(t, f))
	want := hashesAt(t, f, 40, func() {})
	later := func() { // does not show
		apply(t, g, 41, set(t, "a", "later"), sql(t, "insert into t values('later')"), command(t, structs.CommandSQLDatabase, &structs.SQLDatabaseRequest{
			WriteOptions: structs.WriteOptions{Namespace: structs.DefaultNamespace}, Op: structs.SQLDatabaseDrop, Database: structs.SQLDatabase{Name: "unused"}}))
	}
	if got := hashesAt(t, g, 40, later); !maps.Equal(got, want) {
		t.Fatalf("%v\nwant %v", got, want)
	}
	names := slices.Sorted(maps.Keys(want))
	const all = "autopilot cluster consumers database default database unused databases kv lock_delays messages namespaces nodes publications sessions streams table_indexes tombstones txn_replies"
	if got := strings.Join(names, " "); got != all {
		t.Errorf("hashed are %s, want %s", got, all)
	}
	if c := f.Store(); fmt.Sprint(clusterRow(t, f)) == fmt.Sprint(clusterRow(t, sample(t))) {
		t.Errorf("the entry left no mark: %+v", c)
	}
}

func clusterRow(t *testing.T, f *FSM) structs.ClusterInfo {
	t.Helper()
	_, c := f.Store().Cluster(nil)
	if c == nil {
		t.Fatal("no cluster")
	}
	return *c
}

func TestEachPartHasAHashOfItsOwn(t *testing.T) {
	base := hashesAt(t, sample(t), 40, func() {})
	for _, c := range []struct {
		what   string
		do     structs.Command
		differ string // table_indexes, which say where each table was changed last, besides
	}{
		{"a pair", set(t, "a", "other"), "kv table_indexes"},
		{"a row", sql(t, "update t set a = 2 where a = 1"), "database default databases table_indexes"},
		{"a database", command(t, structs.CommandSQLDatabase, &structs.SQLDatabaseRequest{WriteOptions: structs.WriteOptions{Namespace: structs.DefaultNamespace},
			Op: structs.SQLDatabaseCreate, Database: structs.SQLDatabase{Name: "more"}}), "database more databases table_indexes"},
		{"nothing", structs.Command{Type: structs.CommandNone}, ""},
	} {
		f := sample(t)
		apply(t, f, 39, c.do)
		got := hashesAt(t, f, 40, func() {})
		var differ []string
		for name, hash := range got {
			if base[name] != hash {
				differ = append(differ, name)
			}
		}
		slices.Sort(differ)
		if s := strings.Join(differ, " "); s != c.differ {
			t.Errorf("%s: %q differ, want %q", c.what, s, c.differ)
		}
	}
}
