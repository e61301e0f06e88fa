package sqldriver_test

import (
	"bytes"
	"database/sql"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/debros/debros/api"
)

func TestValuesComeBackExactly(t *testing.T) {
	db := newDB(t, "CREATE TABLE v (a)")
	insert, err := db.PrepareContext(t.Context(), "INSERT INTO v VALUES (?) RETURNING a")
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	type name string
	for _, c := range []struct{ in, want any }{
		{nil, nil}, {(*int)(nil), nil}, {[]byte(nil), nil}, {sql.Null[string]{}, nil},
		{math.MaxInt64, int64(math.MaxInt64)}, {int64(math.MinInt64), int64(math.MinInt64)}, {uint8(3), int64(3)}, {true, int64(1)}, {false, int64(0)},
		{0.1, 0.1}, {1.0, 1.0}, {math.Inf(-1), math.Inf(-1)}, {math.SmallestNonzeroFloat64, math.SmallestNonzeroFloat64}, {float64(1 << 60), float64(1 << 60)},
		{"", ""}, {"a\x00 é \xff", "a\x00 é \xff"}, {name("x"), "x"}, {sql.NullString{String: "s", Valid: true}, "s"},
		{[]byte{}, []byte{}}, {[]byte{0, 255}, []byte{0, 255}}, {bytes.Repeat([]byte{7}, 100_000), bytes.Repeat([]byte{7}, 100_000)},
		{time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600)), "2026-01-02 02:04:05.000006"},
	} {
		if got := one[any](t, db, "SELECT ?", c.in); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%T %v: got %T %v", c.in, c.in, got, got)
		}
		var got any
		if err := insert.QueryRowContext(t.Context(), c.in).Scan(&got); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("RETURNING of %T %v: got %T %v, %v", c.in, c.in, got, got, err)
		}
	}
	for _, bad := range []any{uint64(1) << 63, math.NaN(), struct{}{}, make(chan int), sql.Out{Dest: new(int)}} {
		if _, err := db.ExecContext(t.Context(), "INSERT INTO v VALUES (?)", bad); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("%T %v: %v", bad, bad, err)
		}
	}
}

// TestDeclaredTypes decide what a column's type is called, and whether its texts may be times.
func TestDeclaredTypes(t *testing.T) {
	db := newDB(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(20), price Decimal(10, 2), at DATETIME, day date, seen TIMESTAMP(6), anything)",
		"INSERT INTO t VALUES (1, 'x', 1.5, '2026-01-02 03:04:05.5', '2026-01-02', '2026-01-02T03:04:05+01:00', '2026-01-02')",
		"INSERT INTO t VALUES (2, NULL, NULL, 'soon', 1767312000, NULL, NULL)")
	rows, err := db.QueryContext(t.Context(), "SELECT *, max(at) OVER () FROM t ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range types {
		names = append(names, c.DatabaseTypeName())
	}
	if want := []string{"INTEGER", "VARCHAR", "DECIMAL", "DATETIME", "DATE", "TIMESTAMP", "", ""}; !reflect.DeepEqual(names, want) {
		t.Errorf("types %q", names)
	}
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for _, want := range [][]any{
		{int64(1), "x", 1.5, day.Add(3*time.Hour + 4*time.Minute + 5500*time.Millisecond), day, day.Add(2*time.Hour + 4*time.Minute + 5*time.Second), "2026-01-02", "soon"},
		{int64(2), nil, nil, "soon", int64(1767312000), nil, nil, "soon"},
	} {
		if !rows.Next() {
			t.Fatal(rows.Err())
		}
		got, to := make([]any, len(want)), make([]any, len(want))
		for i := range got {
			to[i] = &got[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if at, ok := want[i].(time.Time); ok {
				if g, ok := got[i].(time.Time); !ok || !g.Equal(at) {
					t.Errorf("%s: %v, not %v", names[i], got[i], at)
				}
			} else if got[i] != want[i] {
				t.Errorf("%s: %T %v, not %v", names[i], got[i], got[i], want[i])
			}
		}
	}
}

// TestRowsStreamInTheirOrder, more than any buffer holds.
func TestRowsStreamInTheirOrder(t *testing.T) {
	rows, err := newDB(t).QueryContext(t.Context(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) SELECT i, 'row ' || i FROM n")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var i int
		var text string
		if err := rows.Scan(&i, &text); err != nil {
			t.Fatal(err)
		}
		if n++; i != n {
			t.Fatalf("row %d is %d", n, i)
		}
	}
	if rows.Err() != nil || n != 10000 {
		t.Errorf("%d rows, %v", n, rows.Err())
	}
}
