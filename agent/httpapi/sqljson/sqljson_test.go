package sqljson

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

// values are each value's only form in replies, and one of its forms in requests.
var values = []struct {
	json  string
	value structs.SQLValue
}{
	{`null`, structs.SQLValue{}},
	{`0`, structs.IntegerValue(0)},
	{`-1`, structs.IntegerValue(-1)},
	{`9223372036854775807`, structs.IntegerValue(math.MaxInt64)},
	{`-9223372036854775808`, structs.IntegerValue(math.MinInt64)},
	{`9007199254740993`, structs.IntegerValue(1<<53 + 1)},
	{`1.0`, structs.RealValue(1)},
	{`-0.0`, structs.RealValue(math.Copysign(0, -1))},
	{`0.1`, structs.RealValue(0.1)},
	{`1e+21`, structs.RealValue(1e21)},
	{`100000000000000000000.0`, structs.RealValue(1e20)},
	{`9223372036854776000.0`, structs.RealValue(1 << 63)},
	{`5e-324`, structs.RealValue(math.SmallestNonzeroFloat64)},
	{`1.7976931348623157e+308`, structs.RealValue(math.MaxFloat64)},
	{`{"real":"Infinity"}`, structs.RealValue(math.Inf(1))},
	{`{"real":"-Infinity"}`, structs.RealValue(math.Inf(-1))},
	{`""`, structs.TextValue("")},
	{`"<é\u2028\"\\/&>"`, structs.TextValue("<é\u2028\"\\/&>")},
	{`"a\u0000b\n\r\t\u001f"`, structs.TextValue("a\x00b\n\r\t\x1f")},
	{`"😀"`, structs.TextValue("😀")},
	{`"\ufffd"`, structs.TextValue("\ufffd")},
	{`{"text":"/wBh"}`, structs.TextValue("\xff\x00a")},
	{`{"text":"7aCA"}`, structs.TextValue("\xed\xa0\x80")}, // half a surrogate pair in what would be UTF-8
	{`{"blob":""}`, structs.BlobValue(nil)},
	{`{"blob":"AP8="}`, structs.BlobValue([]byte{0, 255})},
}

func TestValuesAreExactBothWays(t *testing.T) {
	for _, v := range values {
		r := NewReader([]byte(v.json))
		row, err := r.Value(nil)
		if err == nil {
			err = r.End()
		}
		if got, _ := row.Values(); err != nil || !reflect.DeepEqual(got, []structs.SQLValue{v.value}) {
			t.Errorf("%s: %v, %v", v.json, got, err)
		}
		out, err := AppendRow(nil, structs.NewSQLRow(v.value, v.value))
		want := strings.NewReplacer(`\u2028`, "\u2028", `\ufffd`, "\ufffd").Replace("[" + v.json + "," + v.json + "]")
		if err != nil || string(out) != want {
			t.Errorf("%s is written %s, %v", v.json, out, err)
		}
		if !json.Valid(out) {
			t.Errorf("%s is no JSON", out)
		}
	}
}

func TestRequestsMaySayMore(t *testing.T) {
	for text, want := range map[string]structs.SQLValue{
		`true`: structs.IntegerValue(1), `false`: structs.IntegerValue(0), `-0`: structs.IntegerValue(0),
		`9223372036854775808`: structs.RealValue(1 << 63), `-9223372036854775809`: structs.RealValue(-(1 << 63)),
		`1E2`: structs.RealValue(100), `1e-400`: structs.RealValue(0), `"\ud83d\uDE00\/\b\f"`: structs.TextValue("😀/\b\f"),
		`{ "text" : "YQ==" }`: structs.TextValue("a"),
	} {
		row, err := NewReader([]byte(text)).Value(nil)
		if got, _ := row.Values(); err != nil || !reflect.DeepEqual(got, []structs.SQLValue{want}) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestBadValuesAreRefusedWithTheirPlace(t *testing.T) {
	big := "1" + strings.Repeat("0", 400)
	for _, c := range []struct{ value, want string }{
		{`9e999`, "column 1: the number is too large"},
		{`-9e999`, "column 1: the number is too large"},
		{big, "column 1: the number is too large"},
		{`NaN`, "'N' stands where a value should"},
		{`nul`, "'n' stands where a value should"},
		{`tru`, "'t' stands where true or false should"},
		{`-`, "ends where a number"}, {`1.`, "ends where a digit"}, {`1e+`, "ends where a digit"}, {`.5`, "'.' stands where a value"}, {`+1`, "'+' stands"},
		{`01`, "column 2: it should end here"},
		{``, "column 1: it ends where a value should stand"},
		{`[1]`, "'[' stands where a value should"},
		{"\"a\nb\"", "column 3: a control character"},
		{"\"\xff\"", "column 2: a string must be UTF-8"},
		{"\"ab\xff\"", "column 4: a string must be UTF-8"},
		{"\"\\n\xff\"", "column 2: a string must be UTF-8"},
		{`"\ud800"`, "column 2: half a surrogate pair"}, {`"\ud800\u0041"`, "half a surrogate pair"}, {`"\udc00\ud800"`, "half a surrogate pair"},
		{`"\u00g0"`, "four hexadecimal"}, {`"\u00`, "four hexadecimal"}, {`"\x"`, "no escape"}, {`"\`, "within a string"}, {`"abc`, "column 5: it ends within a string"},
		{`{}`, "an empty object"}, {`{"blob":"*"}`, "not base64"}, {`{"blob":"YQ"}`, "not base64"}, {`{"blob":1}`, "where a string should"},
		{`{"real":"NaN"}`, "neither"}, {`{"integer":"1"}`, `"blob", "text" or "real"`}, {`{"blob":"","blob":""}`, "one field"},
		{`{"blob":""`, `ends where "," or "}" should`},
		{strings.Repeat("[", 1<<20), "'[' stands where a value should"},
		{strings.Repeat(`{"blob":`, 1<<17), "where a string should"},
	} {
		r := NewReader([]byte(c.value))
		_, err := r.Value(nil)
		if err == nil {
			err = r.End()
		}
		if structs.KindOf(err) != structs.KindInvalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: %v, want %q", c.value, err, c.want)
		}
	}
	_, err := DecodeDatabase([]byte("{\n  \"name\": \"a\",\n  \"page_bytes\": x}"))
	if err == nil || !strings.Contains(err.Error(), "line 3, column 17: 'x'") {
		t.Error(err)
	}
}

func TestExecuteBody(t *testing.T) {
	var req structs.SQLRequest
	err := DecodeExecute([]byte(` {"statements": ["a", {"sql": "b", "args": [1, "x"]}, {"args": {":n": null, "m": 2, "$$": 3}, "sql": "c"}, {"sql": "d", "args": null}],
		"transaction": true, "request_id": "id", "database": "db", "guard": {"sql": "g", "rows": 1},
		"guards": [{"sql": "h", "args": [5], "first": [1, null], "digest": "AQI="}]} `), &req)
	if err != nil {
		t.Fatal(err)
	}
	one := int64(1)
	want := structs.SQLRequest{
		Database: "db", Transaction: true, RequestID: "id",
		Statements: []structs.SQLStatement{
			{SQL: "a"},
			{SQL: "b", Args: structs.NewSQLRow(structs.IntegerValue(1), structs.TextValue("x"))},
			{SQL: "c", Args: structs.NewSQLRow(structs.SQLValue{}, structs.IntegerValue(2), structs.IntegerValue(3)), Names: []string{"n", "m", "$"}},
			{SQL: "d"},
		},
		Guards: []structs.SQLGuard{
			{SQLStatement: structs.SQLStatement{SQL: "g"}, Rows: &one},
			{
				SQLStatement: structs.SQLStatement{SQL: "h", Args: structs.NewSQLRow(structs.IntegerValue(5))},
				First:        structs.NewSQLRow(structs.IntegerValue(1), structs.SQLValue{}), Digest: []byte{1, 2},
			},
		},
	}
	if !reflect.DeepEqual(req, want) {
		t.Errorf("%+v", req)
	}
}

func TestBadBodiesAreRefused(t *testing.T) {
	for _, c := range []struct {
		kind       structs.Kind
		body, want string
	}{
		{structs.KindInvalid, ``, "it ends where an object"},
		{structs.KindInvalid, `[]`, "'[' stands where an object"},
		{structs.KindInvalid, `null`, "an object"},
		{structs.KindInvalid, `{"statements":[]`, `ends where "," or "}"`},
		{structs.KindInvalid, `{"statements":[]}{}`, "it should end here"},
		{structs.KindInvalid, `{"statements":["a",]}`, "']' stands where an object"},
		{structs.KindInvalid, `{"statements":{}}`, "a list"},
		{structs.KindInvalid, `{"transactoin":true}`, `no field "transactoin"`},
		{structs.KindInvalid, `{"` + strings.Repeat("x", 1000) + `":1}`, `no field "` + strings.Repeat("x", 64) + `"`},
		{structs.KindInvalid, `{"a":null,"b":null,"c":null,"d":null,"e":null,"f":null,"g":null,"h":null,"i":null}`, `no field "i"`},
		{structs.KindInvalid, `{"transaction":1}`, "true or false"},
		{structs.KindInvalid, `{"statements":["a"],"statements":["b"]}`, `the field "statements" is there twice`},
		{structs.KindInvalid, `{"statements":[{"sql":"a","sql":"b"}]}`, `the field "sql" is there twice`},
		{structs.KindInvalid, `{"statements":[{"sql":"a","args":[1],"args":[2]}]}`, `the field "args" is there twice`},
		{structs.KindInvalid, `{"statements":["a"],"transaction":true,"transaction":false}`, `the field "transaction" is there twice`},
		{structs.KindInvalid, `{"statements":[{"sql":"a","args":{"":1}}]}`, "has no name"},
		{structs.KindInvalid, `{"statements":[{"sql":"a","args":{":":1}}]}`, "has no name"},
		{structs.KindInvalid, `{"statements":[{"sql":"a","args":{":a":1,"$a":1}}]}`, "there twice"},
		{structs.KindInvalid, `{"statements":[{"sql":"a","args":[` + strings.Repeat("0,", 1_000_000) + `0]}]}`, "at most 32766 arguments"},
		{structs.KindInvalid, `{"guards":[{"rows":1.5}]}`, "a whole number"},
		{structs.KindInvalid, `{"guards":[{"rows":9223372036854775808}]}`, "a whole number"},
		{structs.KindInvalid, `{"guards":[{"digest":"?"}]}`, "base64"},
		{structs.KindInvalid, strings.Repeat(`{"statements":[`, 100_000), `no field`},
		{structs.KindTooLarge, `{"statements":[` + strings.Repeat(`"",`, 200_000) + `""]}`, "more than 100000"},
	} {
		var req structs.SQLRequest
		err := DecodeExecute([]byte(c.body), &req)
		if structs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: %v, want %q", c.body, err, c.want)
		}
	}
}

func TestReplyLeavesOutWhatIsZero(t *testing.T) {
	b, err := AppendReply(nil, &structs.SQLReply{
		WriteMeta: structs.WriteMeta{Index: 7},
		Replayed:  true,
		Results: []structs.SQLResult{
			{},
			{RowsAffected: 2, LastInsertID: -3},
			{RowsAffected: 1, Columns: []string{"a", "b"}, Types: []string{"integer", ""}, Rows: []structs.SQLRow{
				structs.NewSQLRow(structs.IntegerValue(1), structs.TextValue("x")), structs.NewSQLRow(structs.SQLValue{}, structs.SQLValue{}),
			}},
			{Err: structs.Errorf(structs.KindInvalid, `near "x"`).WithHint("h")},
		},
	})
	want := `{"results":[{},{"rows_affected":2,"last_insert_id":-3},` +
		`{"rows_affected":1,"columns":["a","b"],"types":["integer",""],"rows":[[1,"x"],[null,null]]},` +
		`{"error":{"kind":"invalid","message":"near \"x\"","hint":"h"}}],"index":7,"replayed":true}`
	if err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
	if _, err := AppendRow(nil, structs.SQLRow{9}); err == nil {
		t.Error("a damaged row was written")
	}
}

// What is accepted means the same when it is written out and read again.
func FuzzExecuteBody(f *testing.F) {
	for _, v := range values {
		f.Add(`{"statements":[{"sql":"a","args":[` + v.json + `]}]}`)
	}
	for _, seed := range []string{
		`{"statements":["a",{"sql":"b","args":{":n":1}}],"transaction":true,"request_id":"id","database":"db","guards":[{"sql":"g","rows":1,"first":[1],"digest":"AQI="}]}`,
		`{"guard":{}}`, `[[[[`, `{"a":{"a":`, `{"statements":["\ud83d\ude00`, "{\"\xff\":1}", `{"statements":[{"sql":"a","args":[9e999]}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var req structs.SQLRequest
		if err := DecodeExecute([]byte(body), &req); err != nil {
			if kind := structs.KindOf(err); kind != structs.KindInvalid && kind != structs.KindTooLarge {
				t.Fatalf("%v is no error for a user", err)
			}
			return
		}
		if !json.Valid([]byte(body)) {
			t.Fatalf("%q is no JSON", body)
		}
		for _, st := range req.Statements {
			values, err := st.Args.Values()
			if err != nil || st.Names != nil && len(st.Names) != len(values) {
				t.Fatalf("%d names for %d values, %v", len(st.Names), len(values), err)
			}
			text, err := AppendRow(nil, st.Args)
			if err != nil {
				t.Fatal(err)
			}
			var again structs.SQLStatement
			r := NewReader(text)
			r.BeginArgs(&again)
			if err := r.Array(func() error { return r.Arg(&again, "", r.Value) }); err != nil || string(again.Args) != string(st.Args) {
				t.Fatalf("%s: %v", text, err)
			}
		}
	})
}
