package sqltext

import (
	"reflect"
	"strings"
	"testing"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// sqliteComplete is SQLite's own word on whether a text ends with a complete statement.
func sqliteComplete(tls *libc.TLS, text string) bool {
	p, err := libc.CString(text)
	if err != nil {
		panic(err)
	}
	defer libc.Xfree(tls, p)
	return lib.Xsqlite3_complete(tls, p) == 1
}

// FuzzSplitterAgreesWithSQLite: a text is split where SQLite says that a statement is complete, and nowhere else.
func FuzzSplitterAgreesWithSQLite(f *testing.F) {
	for _, seed := range []string{
		"select 1; select 2", "create trigger a after insert on b begin select ';'; end; x;", "-- ;\n/*;*/;[;];`;`;\";\";';';",
		"explain query plan create temp trigger t begin a; end; b;", "create temporary trigger t begin end;;end;", "/*/;*/;-;/;--",
		"explain explain create trigger;", "temp trigger; create trigger;end\xff;end;", "create trigger endx;ende;end\f;\v;",
	} {
		f.Add(seed)
	}
	tls := libc.NewTLS()
	f.Cleanup(tls.Close)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 300 || strings.IndexByte(text, 0) >= 0 {
			return // the reference takes the square of the length, and ends at a zero byte
		}
		var want []string
		from := 0
		for i := range len(text) {
			if text[i] == ';' && sqliteComplete(tls, text[from:i+1]) {
				part := []byte(text[from:i])
				if skip := blank(part); skip < len(part) {
					want = append(want, strings.TrimSpace(string(part[skip:])))
				}
				from = i + 1
			}
		}
		complete, rest := Split(text)
		var got []string
		for _, st := range complete {
			got = append(got, st.Text)
		}
		if !reflect.DeepEqual(got, want) || rest != "" && rest != text[from:] {
			t.Fatalf("%q\nours:   %q and %q\nSQLite: %q and %q", text, got, rest, want, text[from:])
		}
		streamed, err := splitAll(text)
		if err == nil && len(streamed) > len(complete) {
			streamed = streamed[:len(complete)] // what is behind the last semicolon
		}
		if len(streamed) != len(complete) || len(complete) > 0 && !reflect.DeepEqual(streamed, complete) {
			t.Fatalf("%q\nas a stream: %v, %v\nat hand: %v", text, streamed, err, complete)
		}
	})
}
