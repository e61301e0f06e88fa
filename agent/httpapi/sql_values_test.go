package httpapi

import (
	"strings"
	"testing"
)

func TestSQLValuesAreExactThroughTheDatabase(t *testing.T) {
	s := start(t, Config{})
	for _, v := range []string{
		`9223372036854775807`, `-9223372036854775808`, `9007199254740993`, `1.0`, `-0.0`, `{"real":"Infinity"}`, `{"real":"-Infinity"}`, `1e+300`,
		`"a\u0000b"`, `{"text":"/w=="}`, `{"blob":""}`, `{"blob":"AP8="}`, `null`, `"` + strings.Repeat("é", 100_000) + `"`, `{"blob":"` + strings.Repeat("AAAA", 200_000) + `"}`,
	} {
		r := s.want(200, "", "POST", "/v1/sql/query", `{"sql":"select ?","args":[`+v+`]}`)
		if lines := strings.Split(r.body, "\n"); len(lines) < 2 || lines[1] != "["+v+"]" {
			t.Errorf("%.40s: %.100s", v, r.body)
		}
	}
	s.rows(`{"sql":"select typeof(?1), typeof(?2), typeof(?3)","args":[true,9223372036854775808,1]}`,
		`{"columns":["typeof(?1)","typeof(?2)","typeof(?3)"],"types":["","",""]}`, `["integer","real","integer"]`)
}

// Values at the edges, in the two dialects: exact, or refused with a word; a native route says what /db cannot.
func TestSQLValuesAtTheEdgesInBothDialects(t *testing.T) {
	s := start(t, Config{})
	for _, c := range []struct {
		sql, args    string
		native, dbIs string // the row, or what the refusal says
	}{
		{"select ?", `9223372036854775807`, `[9223372036854775807]`, `[[9223372036854775807]]`},
		{"select -9223372036854775808", ``, `[-9223372036854775808]`, `[[-9223372036854775808]]`},
		{"select 9e999, -9e999, 9e999 - 9e999", ``, `[{"real":"Infinity"},{"real":"-Infinity"},null]`, `[["Infinity","-Infinity",null]]`},
		{"select ?", `9e999`, "too large for a REAL", "too large for a REAL"},
		{"select ?", `NaN`, "'N' stands where a value should", "'N' stands where a value should"},
		{"select cast(x'ff61' as text)", ``, `[{"text":"/2E="}]`, "[[\"\ufffda\"]]"},
		{"select ?", "\"\xff\"", "must be UTF-8", "must be UTF-8"},
		{"select ?1, hex(?1)", `"a\u0000b"`, `["a\u0000b","610062"]`, `[["a\u0000b","610062"]]`},
		{"select 1 \\u0000", ``, "the statement has a zero byte", "the statement has a zero byte"},
		{"select ?, ?", `1`, "want 2 got 1", "want 2 got 1"},
		{"select ?", ``, "want 1 got 0", "want 1 got 0"},
		{"select zeroblob(4194305)", ``, "string or blob too big", "string or blob too big"},
	} {
		native := `{"sql":"` + c.sql + `","args":[` + c.args + `]}`
		if r := s.do("POST", "/v1/sql/query", native); !strings.Contains(r.body, c.native) {
			t.Errorf("native %.60q: %d %.200q, want %s", native, r.status, r.body, c.native)
		}
		list := `[["` + c.sql + `"`
		if c.args != "" {
			list += `,` + c.args
		}
		if r := s.do("POST", "/db/query", list+`]]`); !strings.Contains(r.body, c.dbIs) {
			t.Errorf("/db %.60q: %d %.200q, want %s", list, r.status, r.body, c.dbIs)
		}
	}
	for _, rows := range []string{
		"with recursive c(n) as (select 1 union all select n + 1 from c where n < 200000) select n from c",
		"select hex(zeroblob(2000000)) from (values (1), (2), (3), (4), (5))",
	} {
		s.want(200, `{"kind":"too_large","message":"a write may return `, "POST", "/v1/sql/execute", `{"statements":["`+rows+`"]}`)
		s.want(200, `"error":"a write may return `, "POST", "/db/request?level=strong", `["create table if not exists t (a)","`+rows+`"]`)
	}
}
