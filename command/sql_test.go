package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestChinookIsImportedWhole imports a real database of 11 tables and 15,607 rows (github.com/lerocha/chinook-database).
func TestChinookIsImportedWhole(t *testing.T) {
	file := filepath.Join("..", "..", "shared", "data", "chinook.sql")
	if path := os.Getenv("CHINOOK_SQL"); path != "" {
		file = path
	}
	if _, err := os.Stat(file); err != nil {
		t.Skipf("SKIPPED: the Chinook database is not here (%v); name its Chinook_Sqlite.sql in CHINOOK_SQL", err)
	}
	c := newCLI(t)
	c.contains(c.ok("sql", "import", file), "Imported ")
	tables := []string{"Album", "Artist", "Customer", "Employee", "Genre", "Invoice", "InvoiceLine", "MediaType", "Playlist", "PlaylistTrack", "Track"}
	counts := "select " + "(select count(*) from " + strings.Join(tables, "), (select count(*) from ") + ")"
	const want = "347,275,59,8,25,412,2240,5,18,8715,3503"
	if got := lastLine(c.ok("sql", "-format=csv", counts)); got != want {
		t.Errorf("rows of %v:\n%s, want\n%s", tables, got, want)
	}
	const top = `select ar.Name, sum(il.UnitPrice * il.Quantity) as total, rank() over (order by sum(il.UnitPrice * il.Quantity) desc) as place
		from Artist ar join Album al using (ArtistId) join Track t using (AlbumId) join InvoiceLine il using (TrackId) group by ar.ArtistId order by place limit 1`
	if got := lastLine(c.ok("sql", "-format=csv", top)); !strings.HasPrefix(got, "Iron Maiden,138.") || !strings.HasSuffix(got, ",1") {
		t.Errorf("a join with a window function: %s", got)
	}
	first := c.ok("sql", "export")
	c.ok("sql", "database", "create", "copy")
	if r := c.in(first, "sql", "import", "-db=copy", "-"); r.status != 0 {
		t.Fatal(r.stderr)
	}
	if second := c.ok("sql", "export", "-db=copy"); second != first {
		t.Errorf("the export of the import differs from the export, from byte %d on", commonPrefix(first, second))
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func TestImportGoesOnAfterTheLeaderWasLost(t *testing.T) {
	c := newCLI(t)
	var text bytes.Buffer
	text.WriteString("create table t (a);\n")
	for range 2000 {
		text.WriteString("insert into t values (1);\n")
	}
	c.front.Fail(503, 503, 503, 503) // the version is asked first; a call is repeated once by itself
	r := c.in(text.String(), "sql", "import", "-format=json", "-")
	if r.status != 0 {
		t.Fatal(r.stderr)
	}
	c.contains(r.stdout, `"Imported": 2001`, `"Retried": 1`)
	if got := lastLine(c.ok("sql", "-format=csv", "select count(*) from t")); got != "2000" {
		t.Errorf("%s rows", got)
	}
}
