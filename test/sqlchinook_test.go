//go:build unix

package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/debros/debros/test/harness"
)

// sharedData finds a file of the data that is shared beside the project, or skips.
func sharedData(t *testing.T, name string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, err := os.ReadFile(filepath.Join(dir, "shared", "data", name))
		if err == nil {
			return b
		}
		if !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if filepath.Dir(dir) == dir {
			t.Skipf("SKIPPED: no shared/data/%s in a directory above the project", name)
		}
		dir = filepath.Dir(dir)
	}
}

// load sends SQL text to /db/load and gives the index.
func (c *sqlCluster) load(n *harness.Node, db string, text []byte) uint64 {
	c.t.Helper()
	c.createDatabase(db)
	b, _, err := c.ask(c.within(), n, "POST", "/db/load?db="+db, "text/plain", text)
	if err != nil {
		c.t.Fatal(err)
	}
	if got := string(b); !strings.HasPrefix(got, `{"results":[{`) || strings.Contains(got, `"error"`) {
		c.t.Fatalf("load: %.500s", b)
	}
	return c.must(n, db, "PRAGMA user_version = 7")
}

var chinookTables = []string{"Album", "Artist", "Customer", "Employee", "Genre", "Invoice", "InvoiceLine", "MediaType", "Playlist", "PlaylistTrack", "Track"}

const chinookRows = 15607

// chinookMore is run on both sides after the data is there.
var chinookMore = []string{
	"CREATE VIRTUAL TABLE track_text USING fts5(Name, Composer, content = 'Track', content_rowid = 'TrackId', tokenize = 'porter unicode61')",
	"INSERT INTO track_text (track_text) VALUES ('rebuild')",
	"CREATE TABLE doc AS SELECT a.AlbumId AS id, json_object('title', a.Title, 'artist', r.Name, 'tracks', json((SELECT json_group_array(json_object('n', t.Name, 'ms', t.Milliseconds)) FROM (SELECT * FROM Track WHERE AlbumId = a.AlbumId ORDER BY TrackId) t))) AS body FROM Album a JOIN Artist r USING (ArtistId) ORDER BY a.AlbumId",
	"CREATE INDEX doc_artist ON doc (body ->> '$.artist')",
	"UPDATE Track SET Composer = 'unknown' WHERE Composer IS NULL AND TrackId % 5 = 0",
	"DELETE FROM PlaylistTrack WHERE PlaylistId = 8 AND TrackId > 2000",
	"ANALYZE",
}

// chinookQueries each give named columns in a certain order of rows.
var chinookQueries = []string{
	"SELECT r.Name AS artist, count(DISTINCT a.AlbumId) AS albums, count(*) AS tracks, sum(l.Quantity) AS sold, round(sum(l.UnitPrice * l.Quantity), 2) AS revenue FROM Artist r JOIN Album a USING (ArtistId) JOIN Track t USING (AlbumId) LEFT JOIN InvoiceLine l USING (TrackId) GROUP BY r.ArtistId ORDER BY revenue DESC, artist LIMIT 40",
	"SELECT e.LastName AS employee, b.LastName AS boss, count(c.CustomerId) AS customers FROM Employee e LEFT JOIN Employee b ON b.EmployeeId = e.ReportsTo LEFT JOIN Customer c ON c.SupportRepId = e.EmployeeId GROUP BY e.EmployeeId ORDER BY e.EmployeeId",
	"SELECT g.Name AS genre, p.Name AS playlist, count(*) AS n FROM PlaylistTrack pt JOIN Playlist p USING (PlaylistId) JOIN Track t USING (TrackId) JOIN Genre g USING (GenreId) GROUP BY g.GenreId, p.PlaylistId ORDER BY n DESC, genre, playlist",
	"SELECT t.TrackId AS id FROM Track t FULL JOIN InvoiceLine l USING (TrackId) WHERE l.InvoiceLineId IS NULL ORDER BY id",
	"SELECT BillingCountry AS country, InvoiceId AS id, sum(Total) OVER (PARTITION BY BillingCountry ORDER BY InvoiceDate, InvoiceId) AS running, rank() OVER (PARTITION BY BillingCountry ORDER BY Total DESC) AS place, lag(Total, 1, 0) OVER w AS before, ntile(4) OVER w AS quarter FROM Invoice WINDOW w AS (ORDER BY InvoiceDate, InvoiceId) ORDER BY country, InvoiceDate, id",
	"SELECT strftime('%Y-%m', InvoiceDate) AS month, count(*) AS n, total(Total) AS revenue, avg(total(Total)) OVER (ORDER BY strftime('%Y-%m', InvoiceDate) ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS smooth FROM Invoice GROUP BY month ORDER BY month",
	"SELECT Milliseconds / 60000 AS minutes, percent_rank() OVER (ORDER BY Milliseconds) AS p, first_value(Name) OVER (PARTITION BY GenreId ORDER BY Milliseconds DESC, TrackId) AS longest FROM Track ORDER BY Milliseconds, TrackId LIMIT 300",
	"WITH RECURSIVE chain(id, name, depth, path) AS (SELECT EmployeeId, LastName, 0, LastName FROM Employee WHERE ReportsTo IS NULL UNION ALL SELECT e.EmployeeId, e.LastName, depth + 1, path || '/' || e.LastName FROM Employee e JOIN chain ON e.ReportsTo = chain.id) SELECT * FROM chain ORDER BY path",
	"SELECT rowid AS id, Name AS name, highlight(track_text, 0, '<', '>') AS marked, bm25(track_text, 10.0, 1.0) AS score FROM track_text WHERE track_text MATCH 'love OR Name : rain*' ORDER BY score, id",
	"SELECT rowid AS id, snippet(track_text, 1, '[', ']', '…', 4) AS part FROM track_text WHERE track_text MATCH 'Composer : NEAR(john lennon, 3) NOT name : help' ORDER BY id",
	"SELECT count(*) AS n FROM track_text WHERE track_text MATCH '\"são\" OR coração OR composer : unknown'",
	"SELECT id AS id, body ->> '$.artist' AS artist, json_array_length(body, '$.tracks') AS n, body -> '$.tracks[0]' AS first FROM doc WHERE body ->> '$.artist' IN ('Queen', 'U2', 'Antônio Carlos Jobim') ORDER BY id",
	"SELECT doc.id AS id, j.value ->> 'n' AS track, j.key AS place FROM doc, json_each(doc.body, '$.tracks') j WHERE j.value ->> 'ms' > 600000 ORDER BY id, place",
	"SELECT json_group_object(Name, n) AS all_genres FROM (SELECT g.Name, count(*) AS n FROM Genre g JOIN Track USING (GenreId) GROUP BY 1 ORDER BY 1)",
	"SELECT upper(hex(substr(Name, 1, 3))) AS h, unicode(Name) AS u, instr(Name, 'a') AS i, length(Name) AS l, Name AS name FROM Artist WHERE Name GLOB '*[^ -~]*' ORDER BY ArtistId",
	"SELECT Country AS country, group_concat(LastName, '; ') AS names FROM (SELECT * FROM Customer ORDER BY Country, LastName, CustomerId) GROUP BY Country HAVING count(*) > 1 ORDER BY Country",
	"SELECT typeof(Total) AS kind, typeof(InvoiceDate) AS date, sum(Total) AS sum, min(Total) AS least, max(Total) AS most FROM Invoice GROUP BY 1, 2 ORDER BY 1",
	"SELECT name AS name, type AS type, sql AS sql FROM sqlite_schema WHERE name NOT LIKE '%debros%' AND name NOT LIKE 'sqlite_%' ORDER BY type, name",
	"SELECT tbl AS tbl, idx AS idx, stat AS stat FROM sqlite_stat1 WHERE tbl NOT LIKE '%debros%' ORDER BY tbl, idx",
}

// TestChinookAnswersAsStockSQLiteDoes loads a real database into three servers, queries each of them and compares with
// the sqlite3 program: first every row of every table, then joins, windows, full text and JSON; and again on
// a server that has made its state anew.
func TestChinookAnswersAsStockSQLiteDoes(t *testing.T) {
	text := sharedData(t, "chinook.sql")
	stock, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("SKIPPED: no sqlite3 on the PATH to compare with")
	}
	c := newSQLCluster(t)
	last := c.load(c.Servers[1], "chinook", text)
	last = max(last, c.must(c.Servers[2], "chinook", chinookMore...))

	file := filepath.Join(t.TempDir(), "stock.db")
	sqlite3 := func(sql string, args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), stock, append(append([]string{"-batch", "-bail"}, args...), file)...)
		cmd.Stdin = strings.NewReader(sql)
		var complaints bytes.Buffer
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("sqlite3: %v: %s", err, complaints.Bytes())
		}
		return out
	}
	sqlite3("BEGIN;\n" + string(text) + "\nCOMMIT;\nPRAGMA user_version = 7;\n" + strings.Join(chinookMore, ";\n") + ";\n")

	queries := chinookQueries
	for _, table := range chinookTables {
		queries = append(queries, "SELECT * FROM "+table+" ORDER BY rowid")
	}
	want := map[string][]map[string]any{}
	for _, q := range queries {
		want[q] = parseObjects(t, sqlite3(q+";", "-json"))
	}
	check := func(when string, n *harness.Node) {
		t.Helper()
		rows := 0
		for _, q := range queries {
			got := c.objects(n, "chinook", last, q)
			if strings.HasPrefix(q, "SELECT * FROM ") {
				rows += len(got)
			}
			if len(got) == 0 {
				t.Errorf("%s, %s: no row: %s", when, n.Name, q)
			}
			if d := differentObjects(got, want[q]); d != "" {
				t.Errorf("%s, %s: %s\n%s", when, n.Name, q, d)
			}
		}
		if deleted := chinookRows - rows; deleted < 0 || deleted > 2000 || deleted == 0 {
			t.Errorf("%s, %s: %d rows", when, n.Name, rows)
		}
	}
	for _, n := range c.Servers {
		check("loaded", n)
	}
	before := c.equal("loaded", "chinook", last)
	if err := c.Servers[0].Restart(); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(c.within()); err != nil {
		t.Fatal(err)
	}
	check("after kill -9", c.Servers[0])
	if after := c.equal("after kill -9", "chinook", last); after != before {
		t.Errorf("changed by kill -9: %s", differ("before", before, "after", after))
	}
}

// TestSakilasTimestampingTriggersAreTheSameEverywhere loads a schema whose 30 triggers stamp every row.
func TestSakilasTimestampingTriggersAreTheSameEverywhere(t *testing.T) {
	c := newSQLCluster(t)
	last := c.load(c.Servers[0], "sakila", sharedData(t, "sakila-schema.sql"))
	for i, sql := range []string{
		"INSERT INTO actor (actor_id, first_name, last_name, last_update) SELECT value, 'A' || value, hex(randomblob(3)), 'never' FROM json_each('[1,2,3,4,5,6,7,8,9]')",
		"INSERT INTO country (country_id, country) VALUES (1, 'Spain'), (2, 'Peru')",
		"INSERT INTO city (city_id, city, country_id, last_update) VALUES (1, 'Lima', 2, 'never')",
		"UPDATE actor SET last_name = first_name WHERE actor_id % 2", "UPDATE country SET country = upper(country)",
	} {
		last = max(last, c.must(c.Servers[i%3], "sakila", sql))
	}
	check := func(when string) string {
		for _, n := range c.Servers {
			got := c.mustOwn(n, "sakila", last, "SELECT count(*), sum(last_update GLOB '2*-*-* *:*:*') FROM actor")
			if len(got) != 1 || got[0] != "[9,9]" {
				t.Errorf("%s: on %s: %s", when, n.Name, got)
			}
		}
		return c.equal(when, "sakila", last)
	}
	before := check("written")
	if n := strings.Count(before, "DATETIME('NOW')"); n < 28 {
		t.Errorf("%d triggers were loaded", n)
	}
	if err := c.Servers[2].Restart(); err != nil {
		t.Fatal(err)
	}
	if after := check("after kill -9"); after != before {
		t.Errorf("changed by kill -9: %s", differ("before", before, "after", after))
	}
}

// objects queries a node's own state and gives its rows by the names of their columns.
func (c *sqlCluster) objects(n *harness.Node, db string, index uint64, sql string) []map[string]any {
	c.t.Helper()
	body, err := json.Marshal(map[string]any{"sql": sql})
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := c.send(n, "POST", fmt.Sprintf("/v1/sql/query?stale&wait=1m&format=json&db=%s&min_index=%d", db, index), asJSON, body)
	if err != nil {
		c.t.Fatal(err)
	}
	var rep struct {
		Columns []string
		Rows    [][]any
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&rep); err != nil {
		c.t.Fatalf("%v: %.300s", err, b)
	}
	var out []map[string]any
	for _, row := range rep.Rows {
		o := map[string]any{}
		for i, v := range row {
			o[rep.Columns[i]] = v
		}
		out = append(out, o)
	}
	return out
}

func parseObjects(t *testing.T, b []byte) (out []map[string]any) {
	t.Helper()
	if len(bytes.TrimSpace(b)) == 0 { // sqlite3 says nothing about no rows
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatalf("%v: %.300s", err, b)
	}
	return out
}

// differentObjects shows the first difference. sqlite3 prints 15 digits of a real.
func differentObjects(got, want []map[string]any) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d rows, sqlite3 has %d", len(got), len(want))
	}
	for i := range got {
		if len(got[i]) != len(want[i]) {
			return fmt.Sprintf("row %d: %v, sqlite3 has %v", i, got[i], want[i])
		}
		for k, v := range got[i] {
			if !sameValue(v, want[i][k]) {
				return fmt.Sprintf("row %d, %s: %v, sqlite3 has %v", i, k, v, want[i][k])
			}
		}
	}
	return ""
}

func sameValue(a, b any) bool {
	x, isX := a.(json.Number)
	y, isY := b.(json.Number)
	if !isX || !isY || x == y {
		return a == b
	}
	if isReal := strings.ContainsAny(string(x), ".e"); isReal != strings.ContainsAny(string(y), ".e") {
		return false // 1 and 1.0 are two things
	}
	p, err1 := x.Float64()
	q, err2 := y.Float64()
	return err1 == nil && err2 == nil && strings.ContainsAny(string(x), ".e") && math.Abs(p-q) <= 1e-13*math.Max(math.Abs(p), math.Abs(q))
}
