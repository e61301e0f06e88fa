package sqlshell_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
	"github.com/debros/debros/command/sqlrun"
	"github.com/debros/debros/command/sqlshell"
)

var shared agenttest.Shared

func TestMain(m *testing.M) {
	status := m.Run()
	shared.Close()
	os.Exit(status)
}

// typist types prepared lines; ^C is Ctrl-C.
type typist struct {
	lines    []string
	prompts  []string
	history  []string
	complete func(line string, pos int) (string, []string, string)
}

func (p *typist) Prompt(prompt string) (string, error) {
	p.prompts = append(p.prompts, prompt)
	if len(p.lines) == 0 {
		return "", io.EOF
	}
	line := p.lines[0]
	p.lines = p.lines[1:]
	if line == "^C" {
		return "", sqlshell.ErrInterrupted
	}
	return line, nil
}

func (p *typist) Remember(entry string) { p.history = append(p.history, entry) }

func (p *typist) Complete(f func(line string, pos int) (string, []string, string)) { p.complete = f }

// talk has the lines typed and gives all that the shell said, errors among it.
func talk(t *testing.T, sql *api.SQL, lines ...string) (string, *typist) {
	t.Helper()
	var out bytes.Buffer
	p := &typist{lines: lines}
	s := sqlshell.New(sqlshell.Config{
		SQL: sql, Read: &api.QueryOptions{}, Format: sqlrun.Table, Out: &out, Lines: p,
		Report: func(err error) { fmt.Fprintf(&out, "error: %v\n", err) },
	})
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out.String(), p
}

func newSQL(t *testing.T) *api.SQL {
	t.Helper()
	client, err := api.New(api.Config{Address: shared.Node().API.Address(), Namespace: shared.Namespace()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client.SQL()
}

func TestStatementsOverManyLines(t *testing.T) {
	out, p := talk(t, newSQL(t),
		"create table t (a,", "  b); insert into t", "values (1, 'x;", "y');", "select * from t; select", "^C", "select 2 as two;", "selec 3; select 4;", "select 5;")
	want := "OK, 0 rows\nOK, 1 row, id 1\n" + "a  b\n-  -----\n1  x;\\ny\n" + "two\n---\n  2\n" + "error: near \"selec\": syntax error\n" + "5\n-\n5\n\n"
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	prompts := []string{"default> ", "    ...> ", "    ...> ", "    ...> ", "default> ", "    ...> ", "default> ", "default> ", "default> ", "default> "}
	if !reflect.DeepEqual(p.prompts, prompts) {
		t.Errorf("prompts %q", p.prompts)
	}
	if want := "create table t (a,\n  b);"; len(p.history) == 0 || p.history[0] != want {
		t.Errorf("history %q", p.history)
	}
}

func TestDotCommands(t *testing.T) {
	sql := newSQL(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "people.csv")
	if err := os.WriteFile(file, []byte("name,age\nAnn,30\n\"Bob, Jr.\",7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := talk(t, sql, ".import "+file+" people", "create index by_age on people(age);", ".tables", ".schema peo%", ".mode json", "select * from people;",
		".mode", ".mode xml", ".mo csv", "select name from people;", ".explain select * from people where age = '7';", ".consistency stale", ".consistency",
		".export "+filepath.Join(dir, "out.sql"), ".export "+filepath.Join(dir, "out.sql"), ".use shop", ".databases", ".nonsense", ".timer", ".exit", "select 1;")
	for _, want := range []string{
		"imported 2\n", "people  table\n", "CREATE TABLE \"people\" (\"name\" TEXT, \"age\" TEXT);\n", "CREATE INDEX by_age on people(age);\n",
		"[\n  {\"name\":\"Ann\",\"age\":\"30\"},\n  {\"name\":\"Bob, Jr.\",\"age\":\"7\"}\n]\njson\n", "error: there is no mode \"xml\"",
		"name\nAnn\n\"Bob, Jr.\"\n", "SEARCH people USING INDEX by_age", "stale\nwrote 2 rows to ", "file exists\n", "error: there is no database \"shop\"", "default  ",
		"error: there is no command .nonsense", "error: usage: .timer on|off",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.HasSuffix(out, "1\n") {
		t.Errorf("the shell went on after .exit:\n%s", out)
	}
	if _, _, err := sql.CreateDatabase(t.Context(), &api.SQLDatabase{Name: "shop"}, nil); err != nil {
		t.Fatal(err)
	}
	out, p := talk(t, sql, ".use shop", ".import "+filepath.Join(dir, "out.sql"), ".mode line", "select count(*) as n from people;", ".dump")
	if !strings.Contains(out, "n = 2\n") || !strings.Contains(out, `INSERT INTO "people" VALUES('Bob, Jr.','7');`) || p.prompts[1] != "shop> " {
		t.Errorf("prompts %q, output\n%s", p.prompts, out)
	}
}

// TestCtrlCEndsTheStatementNotTheShell sends a real signal to this process while a statement runs that has no end.
func TestCtrlCEndsTheStatementNotTheShell(t *testing.T) {
	pr, pw := io.Pipe()
	p := &typist{lines: []string{".mode csv", "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n;", "select 'alive';"}}
	s := sqlshell.New(sqlshell.Config{
		SQL: newSQL(t), Read: &api.QueryOptions{}, Format: sqlrun.Table, Out: pw, Lines: p,
		Report: func(err error) { fmt.Fprintf(pw, "error: %v\n", err) },
	})
	go func() { pw.CloseWithError(s.Run(context.Background())) }()
	var all bytes.Buffer
	buf := make([]byte, 4096)
	for sent := false; ; {
		n, err := pr.Read(buf)
		all.Write(buf[:n])
		if !sent && all.Len() > 100 { // it runs
			sent = true
			if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil {
			break
		}
		if keep := 64 << 10; all.Len() > keep {
			all.Next(all.Len() - keep)
		}
	}
	if got := all.String(); !strings.HasSuffix(got, "error: interrupted\n'alive'\nalive\n\n") {
		t.Errorf("it ended with %q", got[max(0, len(got)-200):])
	}
}

func TestTabCompletesNames(t *testing.T) {
	sql := newSQL(t)
	_, p := talk(t, sql, "create table invoices (id, total, customer);")
	for _, c := range []struct {
		line, head string
		words      []string
	}{
		{".sch", "", []string{".schema"}},
		{"select * from inv", "select * from ", []string{"invoices"}},
		{"select tot", "select ", []string{"total"}},
		{"select invoices.", "select invoices.", []string{"id", "total", "customer"}},
		{"sel", "", []string{"select"}},
		{"SEL", "", []string{"SELECT"}},
		{"select ", "select ", nil},
	} {
		head, words, tail := p.complete(c.line+" rest", len(c.line))
		if head != c.head || !reflect.DeepEqual(words, c.words) || tail != " rest" {
			t.Errorf("%q: %q %q %q", c.line, head, words, tail)
		}
	}
}

func TestTimerTellsHowLong(t *testing.T) {
	out, _ := talk(t, newSQL(t), ".timer on", "select 1;")
	var took string
	if _, err := fmt.Sscanf(out[strings.Index(out, "took"):], "took %s", &took); err != nil {
		t.Fatal(err, out)
	}
	if d, err := time.ParseDuration(took); err != nil || d <= 0 {
		t.Errorf("took %v, %v", d, err)
	}
}

func TestShellSavesAndRestoresFiles(t *testing.T) {
	sql := newSQL(t)
	file, text := filepath.Join(t.TempDir(), "x.sqlite"), filepath.Join(t.TempDir(), "x.sql")
	if err := os.WriteFile(text, []byte("create table u (a);"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := talk(t, sql, "create table saved (a); insert into saved values ('kept');", ".backup "+file, ".backup "+file, "update saved set a = 'changed';",
		".restore "+file, ".restore "+file+" now", ".restore "+text, ".import "+file, ".restore "+file+" replace", "select a from saved;")
	for _, want := range []string{"wrote ", "exists", "would be lost: .restore FILE replace", "usage: .restore FILE [replace]", ".import reads SQL text", "this is a SQLite file", "restored at index ", "kept"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "changed") {
		t.Error(out)
	}
}
