package rqlite

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

func TestStatements(t *testing.T) {
	got, err := DecodeStatements([]byte(`["a", ["b"], ["c", 1, 9223372036854775807, 1.5, true, null, "x", [104, 105], []], ["d", {"n": 1, "m": [0]}], ["e", 1, {"n": 2}], ""]`))
	if err != nil {
		t.Fatal(err)
	}
	i := structs.IntegerValue
	want := []structs.SQLStatement{
		{SQL: "a"}, {SQL: "b"},
		{SQL: "c", Args: structs.NewSQLRow(i(1), i(math.MaxInt64), structs.RealValue(1.5), i(1), structs.SQLValue{},
			structs.TextValue("x"), structs.BlobValue([]byte("hi")), structs.BlobValue(nil))},
		{SQL: "d", Args: structs.NewSQLRow(i(1), structs.BlobValue([]byte{0})), Names: []string{"n", "m"}},
		{SQL: "e", Args: structs.NewSQLRow(i(1), i(2)), Names: []string{"", "n"}},
		{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestBadStatementsAreRefused(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{``, "a list"}, {`[]`, "no statements"}, {`{}`, "a list"}, {`"a"`, "a list"}, {`["a"`, "ends where"}, {`["a"] x`, "should end here"}, {`[1]`, "a list"},
		{`[[]]`, "missing its SQL"}, {`[[1]]`, "a string"}, {`[["a", 9e999]]`, "too large"}, {`[["a", [256]]]`, "0 to 255"}, {`[["a", [1.0]]]`, "0 to 255"},
		{`[["a", [[1]]]]`, "a value"}, {`[["a", {"n": {}}]]`, "a value"}, {`[["a", {"n": 1}, {"": 1}]]`, "no name"},
		{strings.Repeat("[", 1_000_000), "'[' stands where a string should"},
	} {
		_, err := DecodeStatements([]byte(c.body))
		if structs.KindOf(err) != structs.KindInvalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: %v, want %q", c.body, err, c.want)
		}
	}
	_, err := DecodeStatements([]byte("[" + strings.Repeat(`"",`, 100_001) + `""]`))
	if structs.KindOf(err) != structs.KindTooLarge {
		t.Error(err)
	}
}

func TestReadsAreTold(t *testing.T) {
	for sql, want := range map[string]bool{
		"select 1": true, "  SELECT\n1 ; -- done": true, "/* c */ VALUES (1)": true, "explain select 1": true, "-- c\nselect ';insert'": true,
		"with x as (select 1) select * from x": true, `select "a;b", [c;d], 'it''s;'`: true, "pragma table_info(t)": true,
		"with x as (select 1) insert into t select * from x": false, "with x as (select 1) delete from t": false,
		"select 1; select 2": false, "select 1; delete from t": false, "insert into t values (1) returning id": false,
		"": false, "-- only a comment": false, "/* open": false, ";": false, "create table t (x)": false,
		"select 'update'": true, "select 'a": true, "select \"": true,
	} {
		if got := Reads(sql); got != want {
			t.Errorf("%q: %v", sql, got)
		}
	}
}

func TestWritesLeaveOutWhatIsZero(t *testing.T) {
	fail := &structs.SQLResult{Err: structs.Errorf(structs.KindDenied, "BEGIN is not allowed here").WithHint("send them together")}
	for _, c := range []struct {
		f    Form
		res  *structs.SQLResult
		want string
	}{
		{Form{}, &structs.SQLResult{}, `{}`},
		{Form{}, &structs.SQLResult{LastInsertID: 1, RowsAffected: 2}, `{"last_insert_id":1,"rows_affected":2}`},
		{Form{Timings: true}, &structs.SQLResult{RowsAffected: 2}, `{"rows_affected":2,"time":0.0015}`},
		{Form{Associative: true}, &structs.SQLResult{RowsAffected: 2}, `{"rows_affected":2,"rows":null}`},
		{Form{Associative: true}, &structs.SQLResult{}, `{"rows":null}`},
		{Form{}, fail, `{"error":"BEGIN is not allowed here (send them together)"}`},
	} {
		if got := string(c.f.AppendWrite(nil, c.res, 1500*time.Microsecond)); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestRowsInEachForm(t *testing.T) {
	i, text := structs.IntegerValue, structs.TextValue
	columns, types := []string{"id", "n\"", "b"}, []string{"integer", "", "blob"}
	rows := []structs.SQLRow{
		structs.NewSQLRow(i(math.MaxInt64), text("x"), structs.BlobValue([]byte{1, 255})),
		structs.NewSQLRow(i(2), structs.SQLValue{}, structs.SQLValue{}),
	}
	failed := structs.Errorf(structs.KindInvalid, "interrupted")
	for _, c := range []struct {
		f    Form
		rows []structs.SQLRow
		err  *structs.Error
		want string
	}{
		{Form{}, rows, nil, `{"columns":["id","n\"","b"],"types":["integer","text","blob"],"values":[[9223372036854775807,"x","Af8="],[2,null,null]]}`},
		{Form{BlobArray: true, Timings: true}, rows[:1], nil, `{"columns":["id","n\"","b"],"types":["integer","text","blob"],"values":[[9223372036854775807,"x",[1,255]]],"time":0.5}`},
		{Form{}, nil, nil, `{"columns":["id","n\"","b"],"types":["integer","","blob"]}`},
		{Form{}, rows[1:], nil, `{"columns":["id","n\"","b"],"types":["integer","","blob"],"values":[[2,null,null]]}`},
		{Form{}, rows[1:], failed, `{"columns":["id","n\"","b"],"types":["integer","","blob"],"values":[[2,null,null]],"error":"interrupted"}`},
		{Form{Associative: true}, rows[1:], nil, `{"types":{"id":"integer","n\"":"","b":"blob"},"rows":[{"id":2,"n\"":null,"b":null}]}`},
		{Form{Associative: true, Timings: true}, nil, nil, `{"types":{"id":"integer","n\"":"","b":"blob"},"rows":[],"time":0.5}`},
		{Form{Associative: true}, rows[1:], failed, `{"types":{"id":"integer","n\"":"","b":"blob"},"rows":[{"id":2,"n\"":null,"b":null}],"error":"interrupted"}`},
	} {
		r := c.f.Rows(columns, types)
		var b []byte
		for _, row := range c.rows { // one by one, as parts of a stream come
			var err error
			if b, err = r.Append(b, []structs.SQLRow{row}); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(r.End(b, c.err, 500*time.Millisecond)); got != c.want || !json.Valid([]byte(got)) {
			t.Errorf("%+v:\n%s, want\n%s", c.f, got, c.want)
		}
	}
	for want, f := range map[string]Form{`{"error":"no"}`: {}, `{"rows":[],"error":"no"}`: {Associative: true}} {
		if got := string(f.Rows(nil, nil).End(nil, structs.Errorf(structs.KindInvalid, "no"), 0)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := string((Form{}).Rows(nil, nil).End(nil, nil, 0)); got != `{}` {
		t.Errorf("no columns: %s", got)
	}
	if _, err := (Form{}).Rows(columns, types).Append(nil, []structs.SQLRow{{9}}); err == nil {
		t.Error("a damaged row was written")
	}
}

func TestAssociativeRowsHaveOneFieldOfAName(t *testing.T) {
	r := Form{Associative: true}.Rows([]string{"a", "b", "a"}, []string{"x", "", "y"})
	b, err := r.Append(nil, []structs.SQLRow{structs.NewSQLRow(structs.IntegerValue(1), structs.IntegerValue(2), structs.IntegerValue(3))})
	if got := string(r.End(b, nil, 0)); err != nil || got != `{"types":{"b":"integer","a":"y"},"rows":[{"b":2,"a":3}]}` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestValuesFollowTheDeclaredType(t *testing.T) {
	i, text := structs.IntegerValue, structs.TextValue
	for _, c := range []struct {
		declared string
		value    structs.SQLValue
		want     string
	}{
		{"boolean", i(1), `true`}, {"boolean", i(0), `false`}, {"boolean", i(-1), `false`}, {"boolean", text("x"), `"x"`}, {"bool", i(1), `1`},
		{"datetime", i(1), `"1970-01-01T00:00:01Z"`}, {"timestamp", i(1_700_000_000_123), `"2023-11-14T22:13:20.123Z"`}, {"date", i(-1), `"1969-12-31T23:59:59Z"`},
		{"datetime", text("2024-02-29 12:30:05"), `"2024-02-29T12:30:05Z"`}, {"date", text("2024-02-29"), `"2024-02-29T00:00:00Z"`},
		{"timestamp", text("2024-02-29T12:30:05.25Z"), `"2024-02-29T12:30:05.25Z"`}, {"timestamp", text("2024-02-29 12:30:05+02:00"), `"2024-02-29T12:30:05+02:00"`},
		{"datetime", text("2024-02-29 12:30"), `"2024-02-29T12:30:00Z"`}, {"datetime", text("soon"), `"soon"`}, {"datetime", structs.RealValue(2.5), `2.5`},
		{"", i(1), `1`}, {"real", structs.RealValue(1), `1`}, {"real", structs.RealValue(1e21), `1e+21`},
		{"real", structs.RealValue(math.Inf(1)), `"Infinity"`}, {"real", structs.RealValue(math.Inf(-1)), `"-Infinity"`},
		{"text", text("a\xffb\x00"), `"a` + "\ufffd" + `b\u0000"`},
		{"varchar(10)", structs.BlobValue([]byte("hi")), `"hi"`}, {"json", structs.BlobValue([]byte("hi")), `"hi"`}, {"", structs.BlobValue([]byte("hi")), `"aGk="`}, {"blob", structs.BlobValue(nil), `""`},
	} {
		v, _, err := structs.NewSQLRow(c.value).NextRaw()
		if err != nil {
			t.Fatal(err)
		}
		if got := string((Form{}).value(nil, v, c.declared)); got != c.want {
			t.Errorf("%q %v: %s, want %s", c.declared, c.value, got, c.want)
		}
	}
}

func FuzzStatements(f *testing.F) {
	for _, seed := range []string{
		`["a"]`, `[["a",1,"x",null,true,1.5,[104,105]],["b",{"n":1}]]`, `[["a",{"n":[1]},2]]`, `[]`, `[[[[`, `["` + "\xff" + `"]`, `[["select 1; /* x",9e999]]`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		statements, err := DecodeStatements([]byte(body))
		if err != nil {
			if kind := structs.KindOf(err); kind != structs.KindInvalid && kind != structs.KindTooLarge {
				t.Fatalf("%v is no error for a user", err)
			}
			return
		}
		if !json.Valid([]byte(body)) {
			t.Fatalf("%q is no JSON", body)
		}
		for _, st := range statements {
			Reads(st.SQL)
			values, err := st.Args.Values()
			if err != nil || st.Names != nil && len(st.Names) != len(values) {
				t.Fatalf("%d names for %d values, %v", len(st.Names), len(values), err)
			}
			for _, f := range []Form{{}, {Associative: true, BlobArray: true, Timings: true}} {
				columns := make([]string, len(values))
				for i := range columns {
					columns[i] = st.SQL[:min(i, len(st.SQL))]
				}
				rows := f.Rows(columns, nil)
				b, err := rows.Append(nil, []structs.SQLRow{st.Args, st.Args})
				if err != nil {
					t.Fatal(err)
				}
				if b = rows.End(b, nil, 1); len(values) > 0 && !json.Valid(b) {
					t.Fatalf("%s is no JSON", b)
				}
			}
		}
	})
}
