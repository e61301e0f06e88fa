package sqlshell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/command/sqlrun"
)

// dot is a command of the shell itself.
type dot struct {
	name, args, text string
	run              func(s *Shell, ctx context.Context, args []string) error
}

// dots are all of them, in the order in which .help lists them.
func dots() []dot {
	return []dot{
		{".help", "", "this list", (*Shell).help},
		{".tables", "[PATTERN]", "tables and views", (*Shell).tables},
		{".schema", "[PATTERN]", "the CREATE statements", (*Shell).schema},
		{".databases", "", "databases of the namespace", (*Shell).databases},
		{".use", "NAME", "go to another database", (*Shell).useCommand},
		{".mode", "[table|json|csv|line]", "how results are written", (*Shell).mode},
		{".timer", "on|off", "show how long a statement took", (*Shell).timerCommand},
		{".consistency", "[linearizable|leader|stale]", "how fresh reads are", (*Shell).consistency},
		{".explain", "on|off|STATEMENT", "show how statements are done instead of doing them", (*Shell).explain},
		{".dump", "[PATTERN]", "the database, or tables of it, as SQL", (*Shell).dump},
		{".export", "FILE", "the database as SQL, into a file", (*Shell).export},
		{".import", "FILE [TABLE]", "run a file of SQL, or insert one of CSV into a table", (*Shell).importFile},
		{".backup", "FILE", "the database as one SQLite file", (*Shell).backup},
		{".restore", "FILE [replace]", "make a SQLite file the database; replace: whatever that holds now", (*Shell).restore},
		{".exit", "", "leave; so does Ctrl-D", func(s *Shell, _ context.Context, _ []string) error { s.ended = true; return nil }},
	}
}

func (s *Shell) command(ctx context.Context, line string) error {
	words, err := fields(line)
	if err != nil {
		return err
	}
	if words[0] == ".quit" {
		words[0] = ".exit"
	}
	var found []dot
	for _, d := range dots() {
		if d.name == words[0] {
			found = []dot{d}
			break
		}
		if strings.HasPrefix(d.name, words[0]) && len(words[0]) > 1 {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return fmt.Errorf("there is no command %s; .help lists them", words[0])
	case 1:
	default:
		return fmt.Errorf("%s may be %s or %s", words[0], found[0].name, found[1].name)
	}
	d := found[0]
	if d.name == ".explain" && len(words) > 1 { // its argument is a statement, quotes and all
		words = []string{words[0], strings.TrimSpace(line[len(words[0]):])}
	}
	if n := strings.Count(d.args, " ") + 1; d.args == "" && len(words) > 1 || len(words)-1 > n || len(words) == 1 && d.args != "" && d.args[0] != '[' {
		return fmt.Errorf("usage: %s", strings.TrimSpace(d.name+" "+d.args))
	}
	return d.run(s, ctx, words[1:])
}

// fields splits a line at blanks; quotes keep blanks together.
func fields(line string) ([]string, error) {
	var out []string
	var word strings.Builder
	quote, inWord := rune(0), false
	for _, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t':
			if inWord {
				out = append(out, word.String())
			}
			inWord = false
			word.Reset()
		default:
			inWord = true
			word.WriteRune(r)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if inWord {
		out = append(out, word.String())
	}
	return out, nil
}

func (s *Shell) help(context.Context, []string) error {
	w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
	for _, d := range dots() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", d.name, d.args, d.text)
	}
	fmt.Fprintln(w, "\nA statement ends with ';' and may have many lines. Ctrl-C gives it up, Tab completes names.")
	return w.Flush()
}

func (s *Shell) tables(ctx context.Context, args []string) error {
	pattern := "%"
	if len(args) == 1 {
		pattern = args[0]
	}
	return s.session().Run(ctx, api.Stmt(`SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name LIKE ?
		AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE '\_debros\_%' ESCAPE '\' ORDER BY name`, pattern))
}

func (s *Shell) schema(ctx context.Context, args []string) error {
	return sqlrun.Schema(ctx, s.db, s.Read, strings.Join(args, ""), func(sql string) error {
		_, err := fmt.Fprintln(s.Out, sqlrun.Printable(sql)+";")
		return err
	})
}

func (s *Shell) databases(ctx context.Context, _ []string) error {
	list, _, err := s.SQL.Databases(ctx, s.Read)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
	for _, d := range list {
		fmt.Fprintf(w, "%s\t%d bytes\n", d.Name, d.SizeBytes)
	}
	return w.Flush()
}

func (s *Shell) useCommand(ctx context.Context, args []string) error {
	d, _, err := s.SQL.ReadDatabase(ctx, args[0], s.Read)
	if err != nil {
		return err
	}
	if d == nil && args[0] != "default" { // which is there before its first write
		return fmt.Errorf("there is no database %q; .databases lists them", args[0])
	}
	s.use(args[0])
	return nil
}

func (s *Shell) mode(_ context.Context, args []string) error {
	if len(args) == 0 {
		_, err := fmt.Fprintln(s.Out, s.Format)
		return err
	}
	for _, f := range sqlrun.Formats() {
		if string(f) == args[0] {
			s.Format = f
			return nil
		}
	}
	return fmt.Errorf("there is no mode %q; there are table, json, csv and line", args[0])
}

func onOff(text string) (on, ok bool) { return text == "on", text == "on" || text == "off" }

func (s *Shell) timerCommand(_ context.Context, args []string) error {
	on, ok := onOff(args[0])
	if !ok {
		return errors.New("usage: .timer on|off")
	}
	s.timer = on
	return nil
}

func (s *Shell) consistency(_ context.Context, args []string) error {
	if len(args) == 0 {
		name := string(s.Read.Consistency)
		if s.Read.Consistency == api.Linearizable {
			name = "linearizable"
		}
		_, err := fmt.Fprintln(s.Out, name)
		return err
	}
	level, err := api.ParseConsistency(args[0])
	if err != nil {
		return err
	}
	o := *s.Read
	o.Consistency = level
	if level != api.Stale {
		o.Freshness, o.FreshnessStrict = 0, false // which are about stale reads
	}
	s.Read = &o
	return nil
}

func (s *Shell) explain(ctx context.Context, args []string) error {
	if on, ok := onOff(args[0]); ok {
		s.plan = on
		return nil
	}
	return s.showPlan(ctx, strings.TrimRight(args[0], "; "))
}

// showPlan draws SQLite's query plan as a tree.
func (s *Shell) showPlan(ctx context.Context, statement string) error {
	rows, err := s.db.Query(ctx, api.Stmt("EXPLAIN QUERY PLAN "+statement), s.Read)
	if err != nil {
		return err
	}
	depth := map[int64]int{0: 0}
	for row, err := range rows.All() {
		var id, parent int64
		var detail string
		if err == nil {
			err = row.Scan(&id, &parent, nil, &detail)
		}
		if err != nil {
			return err
		}
		depth[id] = depth[parent] + 1
		fmt.Fprintf(s.Out, "%s%s\n", strings.Repeat("  ", depth[parent]), sqlrun.Printable(detail))
	}
	return nil
}

func (s *Shell) dump(ctx context.Context, args []string) error {
	_, err := sqlrun.Export(ctx, s.db, s.Read, strings.Join(args, ""), s.Out)
	return err
}

func (s *Shell) export(ctx context.Context, args []string) (err error) {
	f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err // an existing file, too: a typing error must not cost it
	}
	n, err := sqlrun.Export(ctx, s.db, s.Read, "", f)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(args[0]))
	}
	fmt.Fprintf(s.Out, "wrote %d rows to %s\n", n, args[0])
	return nil
}

// importPatience is how long a batch is sent again while there is no leader.
const importPatience = time.Minute

func (s *Shell) importFile(ctx context.Context, args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	defer func() { s.names = nil }()
	var done sqlrun.Imported
	switch {
	case len(args) == 2:
		o := sqlrun.CSVOptions{Table: args[1]}
		if strings.EqualFold(filepath.Ext(args[0]), ".tsv") {
			o.Separator = '\t'
		}
		done, err = sqlrun.ImportCSV(ctx, s.db, f, o, importPatience)
	case strings.EqualFold(filepath.Ext(args[0]), ".csv"):
		return errors.New("usage: .import FILE TABLE")
	case sqlrun.LooksLikeSQLite(args[0]):
		return errors.New("this is a SQLite file: .restore puts it in the place of the database, debros sql import adds it")
	default:
		done, err = sqlrun.ImportSQL(ctx, s.db, f, importPatience)
	}
	if err != nil {
		return fmt.Errorf("%w (%d were done before)", err, done.Statements)
	}
	_, err = fmt.Fprintf(s.Out, "imported %d\n", done.Statements)
	return err
}
