package sqldb

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
	"github.com/debros/debros/test/sqlgen"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "first seed of the random tests; 0 = another one each time")
	seedsFlag = flag.Int("seeds", 0, "how many seeds the random tests take; 0 = 2, or 1000 with DEBROS_SYSTEM_TESTS")
)

// TestRandomWorkloadLeavesEqualReplicas applies the same random entries to a replica that lives on, to one whose
// connections are new now and then, and to one that is installed from the first one's copy now and then. Each reply and the
// hash must be equal.
func TestRandomWorkloadLeavesEqualReplicas(t *testing.T) {
	first, seeds := *seedFlag, *seedsFlag
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	if seeds == 0 {
		seeds = 2 // a seed takes most of a minute under the race detector
		if os.Getenv("DEBROS_SYSTEM_TESTS") != "" {
			seeds = 1000
		}
	}
	for i := range seeds {
		seed := first + uint64(i)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { randomWorkload(t, seed) })
		if t.Failed() {
			return
		}
	}
}

func randomWorkload(t *testing.T, seed uint64) {
	g := sqlgen.New(seed)
	if seed%3 == 0 {
		g = sqlgen.NewVirtual(seed)
	}
	o := Options{Name: "default/random", ForeignKeys: g.IntN(2) == 0}
	steady, restless, copied := newReplica(t, o), newReplica(t, o), newReplica(t, o)
	all := []*replica{steady, restless, copied}
	for _, r := range all {
		r.must(sqlgen.Setup...)
	}
	var m *mirror
	if seed%2 == 0 {
		for _, r := range all {
			r.keepChanges(64 << 20)
		}
		m = newMirror(t, steady)
	}
	for range 60 {
		if g.IntN(3) == 0 {
			restless.reopen()
		}
		if g.IntN(10) == 0 {
			copied.installFrom(steady)
		}
		var entry []*structs.SQLRequest
		for range 1 + g.IntN(4) {
			r := requestOf(g.Request())
			if seed%4 < 3 { // else as leaders of earlier versions send it
				charged(r)
			}
			entry = append(entry, r)
		}
		want := steady.entry(entry...)
		for _, r := range all[1:] {
			for i, got := range r.entry(entry...) {
				if got != want[i] {
					t.Fatalf("entry %d: %s\n%s, not\n%s", r.index, describe(entry[i]), got, want[i])
				}
			}
		}
		if want := hashOf(t, steady); want != hashOf(t, restless) || want != hashOf(t, copied) {
			for _, r := range entry {
				t.Log(describe(r))
			}
			same(t, "restless", strings.Split(content(steady), "\n"), strings.Split(content(restless), "\n"))
			same(t, "copied", strings.Split(content(steady), "\n"), strings.Split(content(copied), "\n"))
			t.Fatalf("entry %d leaves different rows", steady.index)
		}
		if m != nil {
			m.follow(entry, restless, copied)
		}
	}
	want := steady.query("PRAGMA integrity_check") // JSON's subtypes can make it complain
	for _, r := range all[1:] {
		expect(t, r.query("PRAGMA integrity_check"), want)
	}
}

// content is what a user can read of a database.
func content(r *replica) string {
	out := r.query("SELECT rowid, type, name, tbl_name, sql FROM sqlite_schema")
	for name := range strings.SplitSeq(r.query("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type <> 'view' AND name NOT LIKE '\\_debros%' ESCAPE '\\' ORDER BY name"), "\n") {
		rows, err := r.tryQuery(context.Background(), "SELECT rowid, * FROM "+name)
		if err != nil {
			rows, err = r.tryQuery(context.Background(), "SELECT * FROM "+name)
		}
		out += fmt.Sprintf("\n-- %s %v\n%s", name, err, rows)
	}
	return out
}

// installFrom makes the replica anew from a copy of another.
func (r *replica) installFrom(from *replica) {
	r.t.Helper()
	pin, err := from.db.Pin(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	defer pin.Release()
	var file bytes.Buffer
	if _, err := pin.WriteTo(&file); err != nil {
		r.t.Fatal(err)
	}
	if err := r.db.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.path = filepath.Join(r.t.TempDir(), "b.db")
	if err := Install(r.path, &file); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

func requestOf(r sqlgen.Request) *structs.SQLRequest {
	out := &structs.SQLRequest{RequestID: r.ID, Transaction: r.Transaction, WorkMax: 3_000_000}
	for _, st := range r.Statements {
		s := structs.SQLStatement{SQL: st.SQL}
		for _, a := range st.Args {
			switch v := a.(type) {
			case int64:
				s.Args = s.Args.AppendInteger(v)
			case string:
				s.Args = s.Args.AppendText([]byte(v))
			case []byte:
				s.Args = s.Args.AppendBlob(v)
			}
		}
		out.Statements = append(out.Statements, s)
	}
	return out
}

func describe(r *structs.SQLRequest) string {
	var out []string
	for _, s := range r.Statements {
		out = append(out, s.SQL)
	}
	return fmt.Sprintf("transaction=%t %s", r.Transaction, strings.Join(out, ";\n  "))
}
