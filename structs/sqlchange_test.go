package structs

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
)

var (
	goldenRowid    = &SQLChangeTable{Name: "t", Columns: []string{"id", "a"}}
	goldenKeyed    = &SQLChangeTable{Name: "w", Columns: []string{"v", "k"}, WithoutRowID: true, Key: []int{1}}
	goldenChanges  = goldenRun()
	goldenChangesX = "01" +
		"54017400020269640161" + "00" + // table t
		"490004" + "0104" + "03016f" + // insert
		"5500040a" + "010403016f" + "010aff" + // update of the rowid: a stays
		"53017411414c544552205441424c45207420e280a6" + // schema
		"54017701020176016b0101" + // table w
		"4401" + "0004026869" // delete
)

// goldenRun is one change of each kind.
func goldenRun() SQLChanges {
	d := BeginSQLChanges(nil)
	d = AppendSQLChangeTable(d, goldenRowid)
	d = AppendSQLRowChange(d, goldenRowid, 0, 2, 2, nil, NewSQLRow(IntegerValue(2), TextValue("o")))
	d = AppendSQLRowChange(d, goldenRowid, 0, 2, 5, NewSQLRow(IntegerValue(2), TextValue("o")), NewSQLRow(IntegerValue(5), TextValue("o")))
	d = AppendSQLSchemaChange(d, "t", "ALTER TABLE t …")
	d = AppendSQLChangeTable(d, goldenKeyed)
	d = AppendSQLRowChange(d, goldenKeyed, 1, 0, 0, NewSQLRow(SQLValue{}, BlobValue([]byte("hi"))), nil)
	return SQLChanges{Index: 7, First: 3, Count: 4, Time: 99, Data: d}
}

func changesIn(t *testing.T, c SQLChanges) (list []SQLChange) {
	t.Helper()
	if err := c.Each(func(x *SQLChange) error {
		x.Old, x.New = slices.Clone(x.Old), slices.Clone(x.New)
		list = append(list, *x)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// The bytes are in databases and snapshots of every version.
func TestDataOfChangesStaysReadable(t *testing.T) {
	if got := hex.EncodeToString(goldenChanges.Data); got != goldenChangesX {
		t.Errorf("%s\nnot\n%s", got, goldenChangesX)
	}
	data, err := hex.DecodeString(goldenChangesX)
	if err != nil {
		t.Fatal(err)
	}
	run := goldenChanges
	run.Data = data
	at := func(seq uint64) SQLPosition { return SQLPosition{7, seq} }
	two, five := NewSQLRow(IntegerValue(2), TextValue("o")), NewSQLRow(IntegerValue(5), TextValue("o"))
	want := []SQLChange{
		{At: at(3), Time: 99, Op: SQLInserted, Table: goldenRowid, RowID: 2, NewRowID: 2, New: two},
		{At: at(4), Time: 99, Op: SQLUpdated, Table: goldenRowid, RowID: 2, NewRowID: 5, Old: two, New: five},
		{At: at(5), Time: 99, Op: SQLSchema, Of: "t", SQL: "ALTER TABLE t …"},
		{At: at(6), Time: 99, Op: SQLDeleted, Table: goldenKeyed, Old: NewSQLRow(SQLValue{}, BlobValue([]byte("hi")))},
	}
	if got := changesIn(t, run); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nnot\n%+v", got, want)
	}
	run.Skip = 2
	if got := changesIn(t, run); !reflect.DeepEqual(got, want[2:]) {
		t.Errorf("behind two: %+v", got)
	}
	if last := run.Last(); last != at(6) {
		t.Errorf("the last is %s", last)
	}
}

func TestDamagedChangesAreAnError(t *testing.T) {
	none := func(*SQLChange) error { return nil }
	for n := range goldenChanges.Data {
		run := goldenChanges
		run.Data = run.Data[:n]
		if err := run.Each(none); !errors.Is(err, ErrSQLChanges) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	run := goldenChanges
	run.Data = append(slices.Clone(run.Data), 'X')
	if err := run.Each(none); !errors.Is(err, ErrSQLChanges) {
		t.Errorf("an unknown record: %v", err)
	}
	stop := errors.New("stop")
	if err := goldenChanges.Each(func(*SQLChange) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the reader's own error: %v", err)
	}
}

func TestPositionsReadBack(t *testing.T) {
	for text, want := range map[string]SQLPosition{"": {}, "12.3": {12, 3}, "12.0": {12, 0}, "12": {12, SQLWholeEntry}} {
		got, err := ParseSQLPosition(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: %+v (%s), %v", text, got, got, err)
		}
	}
	for _, text := range []string{"0", "0.1", ".", "1.", ".1", "1.2.3", "-1", "1.-1", "x", " 1", "99999999999999999999", "1.18446744073709551615"} {
		if got, err := ParseSQLPosition(text); !errors.Is(err, ErrSQLPosition) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, pair := range [][2]SQLPosition{{{1, 2}, {1, 3}}, {{1, SQLWholeEntry}, {2, 0}}, {{}, {1, 0}}, {{1, 9}, {1, SQLWholeEntry}}} {
		if !pair[0].Before(pair[1]) || pair[1].Before(pair[0]) {
			t.Errorf("%v", pair)
		}
	}
}

func FuzzSQLChanges(f *testing.F) {
	f.Add(goldenChanges.Data, uint64(4))
	f.Fuzz(func(t *testing.T, data []byte, count uint64) {
		run := SQLChanges{Index: 1, First: 1, Count: count, Data: data}
		err := run.Each(func(c *SQLChange) error {
			if c.Table == nil {
				return nil
			}
			for _, row := range []SQLRow{c.Old, c.New} {
				if values, err := row.Values(); err != nil || len(row) > 0 && len(values) != len(c.Table.Columns) {
					return fmt.Errorf("%d values of %d columns: %w", len(values), len(c.Table.Columns), err)
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, ErrSQLChanges) {
			t.Fatal(err)
		}
	})
}
