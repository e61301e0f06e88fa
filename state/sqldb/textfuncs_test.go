package sqldb

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/state/sqldb/sqlite"
)

// plainConn is SQLite as it comes, with our functions or without them.
func plainConn(t testing.TB, ours bool) *sqlite.Conn {
	t.Helper()
	c, err := sqlite.Open(":memory:", "", sqlite.ReadWrite|sqlite.Create)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if ours {
		if err := defineTextFunctions(c); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// answer is what an expression gives: its type and its bytes, or the error.
func answer(t testing.TB, c *sqlite.Conn, expr string) string {
	t.Helper()
	s, _, err := c.Prepare("SELECT typeof(v), hex(CAST(v AS BLOB)) FROM (SELECT " + expr + " AS v)")
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	defer s.Finalize()
	if _, err := s.Step(); err != nil {
		return err.Error()
	}
	return string(s.Bytes(0)) + " " + string(s.Bytes(1))
}

// randomValue is a literal: mostly texts of few different bytes, broken UTF-8 and NUL among them.
func randomValue(rng *rand.Rand, max int) string {
	switch rng.IntN(12) {
	case 0:
		return "NULL"
	case 1:
		return fmt.Sprint(rng.IntN(2000) - 1000)
	case 2:
		return fmt.Sprint(float64(rng.IntN(100)) / 8)
	}
	bytes := []byte{'a', 'b', ' ', 0xc3, 0xa9, 0x80, 0xe2, 0x82, 0xac, 0xf0, 0xff, 0}
	if rng.IntN(3) > 0 {
		bytes = bytes[:4+rng.IntN(len(bytes)-4)]
	}
	text := make([]byte, rng.IntN(max+1))
	for i := range text {
		text[i] = bytes[rng.IntN(len(bytes))]
	}
	if rng.IntN(5) == 0 {
		return fmt.Sprintf("x'%x'", text)
	}
	return fmt.Sprintf("CAST(x'%x' AS TEXT)", text)
}

func TestTextFunctionsGiveWhatSQLitesGive(t *testing.T) {
	theirs, ours := plainConn(t, false), plainConn(t, true)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	compare := func(expr string) {
		if want, got := answer(t, theirs, expr), answer(t, ours, expr); got != want {
			t.Fatalf("%s\nours:   %s\nSQLite: %s", expr, got, want)
		}
	}
	for range 60_000 {
		x, y, z := randomValue(rng, 24), randomValue(rng, 5), randomValue(rng, 4)
		switch f := rng.IntN(6); f {
		case 0:
			compare(fmt.Sprintf("instr(%s, %s)", x, y))
		case 1:
			compare(fmt.Sprintf("replace(%s, %s, %s)", x, y, z))
		case 2:
			compare(fmt.Sprintf("%s(%s)", []string{"trim", "ltrim", "rtrim"}[rng.IntN(3)], x))
		default:
			compare(fmt.Sprintf("%s(%s, %s)", []string{"trim", "ltrim", "rtrim"}[f-3], x, y+[]string{"", "||" + z}[rng.IntN(2)]))
		}
	}
}

// Each took between a tenth of a second and a minute, in one step of the budget.
func TestTextFunctionsOfLongArgumentsTakeNoTime(t *testing.T) {
	c := plainConn(t, true)
	long := func(pattern string, n int) string { return strings.Repeat(pattern, n/len(pattern)) }
	set := make([]byte, 0, 20_000)
	for r := 0x100; len(set) < 20_000; r++ {
		set = append(set, string(rune(r))...)
	}
	for name, expr := range map[string]string{
		"a set that has it last": fmt.Sprintf("trim(CAST(x'%x' AS TEXT), CAST(x'%x' AS TEXT) || 'a')", long("a", 400_000), set),
		"nothing but tails":      fmt.Sprintf("rtrim(CAST(x'%x' AS TEXT), CAST(x'80c380' AS TEXT))", long("\x80", 400_000)),
		"lengths of every kind":  fmt.Sprintf("trim(CAST(x'%x' AS TEXT), CAST(x'%x' AS TEXT))", long("\xc3"+long("\x80", 600), 400_000), everyLength(600)),
		"instr":                  fmt.Sprintf("instr(CAST(x'%x' AS TEXT), CAST(x'%x' AS TEXT))", long("a", 400_000), long("a", 50_000)+"b"),
		"replace":                fmt.Sprintf("replace(CAST(x'%x' AS TEXT), CAST(x'%x' AS TEXT), 'c')", long("a", 400_000), long("a", 50_000)+"b"),
	} {
		start := time.Now()
		if got := answer(t, c, expr); strings.HasPrefix(got, "null") {
			t.Errorf("%s: %.40s", name, got)
		}
		if took := time.Since(start); took > 20*time.Second { // milliseconds on a quiet machine
			t.Errorf("%s took %s", name, took)
		}
	}
}

// everyLength is a set with a character of each length up to n.
func everyLength(n int) []byte {
	var set []byte
	for i := 1; i < n; i += 7 {
		set = append(append(set, 0xc3), strings.Repeat("\x80", i)...)
	}
	return set
}
