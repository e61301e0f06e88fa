package sqltext

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func splitAll(text string) ([]Statement, error) {
	var all []Statement
	s := NewSplitter(iotest.OneByteReader(strings.NewReader(text)))
	for s.Next() {
		all = append(all, s.Statement())
	}
	return all, s.Err()
}

func TestSplitterFindsStatements(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []Statement
	}{
		{"nothing", "", nil},
		{"blanks and comments only", " ;; \n-- a;\n/* b; */ ;", nil},
		{"the last needs no semicolon", "select 1; select 2", []Statement{{"select 1", 1}, {"select 2", 1}}},
		{"lines", "\n-- one\nselect\n1;\n\n/* two\n */ select 2;", []Statement{{"select\n1", 3}, {"select 2", 7}}},
		{"strings", `select 'a;''b;', "c;", [d;], ` + "`e;`;x", []Statement{{`select 'a;''b;', "c;", [d;], ` + "`e;`", 1}, {"x", 1}}},
		{"comments inside", "select 1 -- ;'\n, 2 /* ; ' */ ;x", []Statement{{"select 1 -- ;'\n, 2 /* ; ' */", 1}, {"x", 2}}},
		{"a comment ends at its first end", "select /*/ ; */ 1;x", []Statement{{"select /*/ ; */ 1", 1}, {"x", 1}}},
		{"operators", "select 4-2, 4/2, 1 - -1;x", []Statement{{"select 4-2, 4/2, 1 - -1", 1}, {"x", 1}}},
		{"trigger", "create trigger t after insert on a begin update b set c = case when 1 then 2 end; delete from d; end; select 1",
			[]Statement{{"create trigger t after insert on a begin update b set c = case when 1 then 2 end; delete from d; end", 1}, {"select 1", 1}}},
		{"temporary trigger, end without a semicolon", "CREATE TEMP TRIGGER t BEGIN SELECT 1; END", []Statement{{"CREATE TEMP TRIGGER t BEGIN SELECT 1; END", 1}}},
		{"explained trigger", "explain query plan create trigger t begin select 1; end; x", []Statement{{"explain query plan create trigger t begin select 1; end", 1}, {"x", 1}}},
		{"a table is no trigger", `create table "trigger"(a); end; x`, []Statement{{`create table "trigger"(a)`, 1}, {"end", 1}, {"x", 1}}},
		{"byte order mark", "\ufeffselect 1;", []Statement{{"select 1", 1}}},
		{"bytes that are no UTF-8", "select '\xff;';x", []Statement{{"select '\xff;'", 1}, {"x", 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := splitAll(c.text)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestSplitterNamesTheLineOfWhatIsCutShort(t *testing.T) {
	for text, want := range map[string]string{
		"select 1;\n\nselect 'a\nb":          "inside a string or a quoted name; the statement begins in line 3",
		"select 1; /* never":                 "inside a comment",
		"\ncreate trigger t begin select 1;": "inside a trigger, which ends with END; the statement begins in line 2",
	} {
		if _, err := splitAll(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	failed := errors.New("disk")
	s := NewSplitter(io.MultiReader(strings.NewReader("select 1; sel"), iotest.ErrReader(failed)))
	if !s.Next() || s.Next() || !errors.Is(s.Err(), failed) {
		t.Errorf("error of the reader: %v", s.Err())
	}
}

func TestSplitTellsWhatIsNotComplete(t *testing.T) {
	for text, want := range map[string]struct {
		n    int
		rest string
	}{
		"select 1;":                     {1, ""},
		"select 1; \n":                  {1, ""},
		"select 1; -- bye\n":            {1, ""},
		"select 1; select 2":            {1, " select 2"},
		"select 'a;":                    {0, "select 'a;"},
		"/* ":                           {0, "/* "},
		"create trigger a begin b; end": {0, "create trigger a begin b; end"},
	} {
		got, rest := Split(text)
		if len(got) != want.n || rest != want.rest {
			t.Errorf("%q: %v and %q", text, got, rest)
		}
	}
}

func TestFirstWord(t *testing.T) {
	for text, want := range map[string]string{"-- x\n/* y */ BEGIN;": "begin", "": "", "(select 1)": "", "pragma(x)": "pragma"} {
		if got := FirstWord(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
