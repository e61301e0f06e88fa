package sqlite

import (
	"slices"
	"strings"
	"testing"
)

// charging is a connection whose functions are charged.
func charging(t testing.TB) *Conn {
	t.Helper()
	c, err := Open(":memory:", "", ReadWrite|Create)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.Progress(1000, func() bool { return false })
	return c
}

// builtins are the functions that SQLite brings, as name and number of arguments.
func builtins(t testing.TB, c *Conn) (all []overload) {
	t.Helper()
	all, err := c.overloads()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A function that SQLite brings and that is not charged would be a way around the budget.
func TestEveryFunctionOfSQLiteIsCharged(t *testing.T) {
	c := charging(t)
	// What is no call in a program: it is compiled into steps that are counted.
	inline := []string{"coalesce", "if", "iif", "ifnull", "likelihood", "likely", "unlikely", "first_value", "nth_value", "sqlite_offset"}
	seen := 0
	for _, f := range builtins(t, c) {
		defs := c.definitions(f.name, f.args)
		if len(defs) == 0 {
			if !slices.Contains(inline, f.name) {
				t.Errorf("%s/%d is not charged", f.name, f.args)
			}
			continue
		}
		for _, def := range defs {
			if !charged[def] {
				t.Errorf("%s/%d has a definition that is not charged", f.name, f.args)
			}
			seen++
		}
	}
	if seen < 150 {
		t.Errorf("only %d definitions", seen)
	}
}

// run runs a statement to its end.
func run(c *Conn, sql string, args ...string) error {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer s.Finalize()
	room := 0
	for _, a := range args {
		room += len(a)
	}
	if err := s.BindRoom(room); err != nil {
		return err
	}
	for i, a := range args {
		if err := s.BindText(i+1, a); err != nil {
			return err
		}
	}
	for {
		if more, err := s.Step(); !more || err != nil {
			return err
		}
	}
}

func TestFunctionsAreChargedByTheirBytes(t *testing.T) {
	c := charging(t)
	text := strings.Repeat("x", 1000)
	for _, k := range []struct {
		sql  string
		args []string
		want int64
	}{
		{"SELECT length(?)", []string{text}, 2 * 1000},
		{"SELECT length(?)", []string{""}, 0},
		{"SELECT abs(1), ? = ?", []string{text, text}, 0}, // no function goes through them
		{"SELECT upper(?)", []string{text}, 2 * 2000},
		{"SELECT upper(upper(?))", []string{text}, 2 * 4000},
		{"SELECT length(printf('%2000d', 1))", nil, 2 * (6 + 2000 + 2000)},
		{"SELECT ? LIKE ?", []string{text, "%y%"}, 2 * 3 * 1000},
		{"SELECT ? GLOB ?", []string{text, "*y"}, 2 * 2 * 1000},
		{"SELECT like(?, ?, '!')", []string{"%", text}, 2 * 1001},
		{"SELECT json_valid(?)", []string{"[1,2,3]"}, 16 * 7},
		{"SELECT json_valid(NULL)", nil, 0},
		{"SELECT count(?)", []string{text}, 2 * 1000},
		{"SELECT group_concat(a, '') FROM (SELECT ? AS a UNION ALL SELECT ?)", []string{text, text}, 2 * 2000},
		// Two rows, and what there is so far at each.
		{"SELECT group_concat(a, '') OVER (ROWS 1 PRECEDING) FROM (SELECT ? AS a UNION ALL SELECT ?)", []string{text, text}, 2 * (2000 + 1000 + 2000)},
	} {
		c.Charge(1 << 40)
		err := run(c, k.sql, k.args...)
		if n, over := c.Charged(); err != nil || over || n != k.want {
			t.Errorf("%s: %d bytes, not %d; %v", k.sql, n, k.want, err)
		}
		if k.want == 0 {
			continue
		}
		c.Charge(k.want)
		if err := run(c, k.sql, k.args...); err != nil {
			t.Errorf("%s: with just enough: %v", k.sql, err)
		}
		c.Charge(k.want - 1)
		err = run(c, k.sql, k.args...)
		if _, over := c.Charged(); !over || err == nil || err.(*Error).Primary() != 9 {
			t.Errorf("%s: with one byte less: %v, %t", k.sql, err, over)
		}
		c.Charge(-1)
		err = run(c, k.sql, k.args...)
		if n, over := c.Charged(); err != nil || over || n != 0 {
			t.Errorf("%s: uncharged: %d bytes, %v", k.sql, n, err)
		}
	}
}

// BenchmarkFunctions gives the time of a charged byte of each function for arguments that are large in turn: it should not be far from the
// time of a step (20 ns) by structs.SQLBytesPerStep.
func BenchmarkFunctions(b *testing.B) {
	large := map[string]string{
		"text":   strings.Repeat("aé b", 1<<18),
		"json":   "[" + strings.Repeat(`{"a":1,"b":"x y"},`, 1<<16) + "1]",
		"digits": strings.Repeat("9", 1<<20),
	}
	c := charging(b)
	for _, f := range builtins(b, c) {
		if len(c.definitions(f.name, f.args)) == 0 {
			continue
		}
		n := f.args
		if n < 0 {
			n = 3
		}
		sql := `SELECT "` + f.name + `"(` + strings.TrimSuffix(strings.Repeat("?,", int(n)), ",") + ")"
		for what, text := range large {
			for at := range int(n) {
				args := make([]string, n)
				for i := range args {
					args[i] = "é%b"
					if isJSON := strings.HasPrefix(f.name, "json"); isJSON && i == 0 {
						args[i] = "[1]"
					} else if isJSON || strings.HasPrefix(f.name, "->") {
						args[i] = "$[10]"
					}
				}
				args[at] = text
				b.Run(f.name+"/"+what, func(b *testing.B) {
					for b.Loop() {
						c.Charge(1 << 40)
						_ = run(c, sql, args...) // some refuse such arguments, which takes time too
					}
					if n, _ := c.Charged(); n > 0 {
						b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/charged")
					}
				})
			}
		}
	}
}
