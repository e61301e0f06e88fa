//go:build unix

package test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/test/harness"
)

// system says whether the slow tests run.
func system() bool { return os.Getenv("DEBROS_SYSTEM_TESTS") != "" }

// sqlCluster is three real agents and what a test asks of them over plain HTTP.
type sqlCluster struct {
	*harness.Cluster
	t    *testing.T
	http *http.Client
}

// newSQLCluster starts the servers with logs so short that a restart or a short absence goes through a snapshot.
func newSQLCluster(t *testing.T, change ...func(*harness.Node)) *sqlCluster {
	t.Helper()
	if _, err := harness.BinaryPath(); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	file := filepath.Join(t.TempDir(), "sql.hcl")
	settings := "raft_snapshot_threshold = 40\nraft_snapshot_interval = \"300ms\"\nraft_trailing_logs = 20\n"
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	c := harness.ForTest(t, harness.Config{Servers: 3, Args: []string{"-config-file=" + file}}, change...)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	t.Cleanup(client.CloseIdleConnections)
	return &sqlCluster{Cluster: c, t: t, http: client}
}

// patience is how long a test waits for what takes seconds on an idle machine.
const patience = 4 * time.Minute

func (c *sqlCluster) within() context.Context {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	c.t.Cleanup(cancel)
	return ctx
}

// sqlError is an error as the agent's JSON shows it.
type sqlError struct{ Kind, Message, Hint string }

func (e *sqlError) Error() string { return e.Kind + ": " + e.Message }

type sqlResult struct {
	RowsAffected int64             `json:"rows_affected"`
	Rows         []json.RawMessage `json:"rows"`
	Error        *sqlError         `json:"error"`
}

type sqlReply struct {
	Results  []sqlResult `json:"results"`
	Index    uint64      `json:"index"`
	Replayed bool        `json:"replayed"`
}

// statement is one of a request; Args may be nil.
type statement struct {
	SQL  string `json:"sql"`
	Args []any  `json:"args,omitempty"`
}

type sqlRequest struct {
	Statements  []statement `json:"statements"`
	Transaction bool        `json:"transaction,omitempty"`
	RequestID   string      `json:"request_id,omitempty"`
	Database    string      `json:"database,omitempty"`
}

// ask sends one request to one node. Any answer but 200 is an error, and lost says that trying again may help.
func (c *sqlCluster) ask(ctx context.Context, n *harness.Node, method, pathQuery, kind string, body []byte) (reply []byte, lost bool, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+n.HTTPAddr()+pathQuery, bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, true, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, true, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, res.StatusCode >= 500, fmt.Errorf("%s %s on %s: %s %s", method, pathQuery, n.Name, res.Status, b)
	}
	return b, false, nil
}

// send asks until there is an answer that is not about the cluster's state: the request must bear repetition.
func (c *sqlCluster) send(n *harness.Node, method, pathQuery, kind string, body []byte) ([]byte, error) {
	var out []byte
	var final error
	err := c.Wait(c.within(), func(ctx context.Context) error {
		b, lost, err := c.ask(ctx, n, method, pathQuery, kind, body)
		if lost {
			return err
		}
		out, final = b, err
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, final
}

const asJSON = "application/json"

// execute runs a request, again if need be: with a RequestID it happens once.
func (c *sqlCluster) execute(n *harness.Node, r sqlRequest) (*sqlReply, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	b, err := c.send(n, "POST", "/v1/sql/execute", asJSON, body)
	if err != nil {
		return nil, err
	}
	rep := new(sqlReply)
	if err := json.Unmarshal(b, rep); err != nil {
		return nil, fmt.Errorf("%w in %s", err, b)
	}
	if len(rep.Results) > len(r.Statements) || rep.Index == 0 {
		return nil, fmt.Errorf("%d results, index %d for %d statements", len(rep.Results), rep.Index, len(r.Statements))
	}
	return rep, nil
}

// must runs statements that succeed and gives the index.
func (c *sqlCluster) must(n *harness.Node, db string, sql ...string) uint64 {
	c.t.Helper()
	r := sqlRequest{Database: db}
	for _, s := range sql {
		r.Statements = append(r.Statements, statement{SQL: s})
	}
	rep, err := c.execute(n, r)
	if err != nil {
		c.t.Fatal(err)
	}
	for i, res := range rep.Results {
		if res.Error != nil {
			c.t.Fatalf("%s: %v", sql[i], res.Error)
		}
	}
	return rep.Index
}

func (c *sqlCluster) createDatabase(name string) {
	c.t.Helper()
	if _, err := c.send(c.Servers[0], "POST", "/v1/sql/databases", asJSON, []byte(`{"name":`+strconv.Quote(name)+`}`)); err != nil && !strings.Contains(err.Error(), "409") {
		c.t.Fatal(err)
	}
}

// own reads a node's own state, at index or later, and gives the rows as their JSON.
func (c *sqlCluster) own(n *harness.Node, db string, index uint64, sql string, args ...any) ([]string, error) {
	body, err := json.Marshal(map[string]any{"sql": sql, "args": args})
	if err != nil {
		return nil, err
	}
	b, err := c.send(n, "POST", "/v1/sql/query?stale&wait=1m&db="+url.QueryEscape(db)+"&min_index="+strconv.FormatUint(index, 10), asJSON, body)
	if err != nil {
		return nil, err
	}
	var lines []string
	in := bufio.NewScanner(bytes.NewReader(b))
	for in.Buffer(nil, 16<<20); in.Scan(); {
		lines = append(lines, in.Text())
	}
	if len(lines) < 2 || !strings.HasPrefix(lines[len(lines)-1], `{"rows":`) {
		return nil, fmt.Errorf("%s on %s: %.300s", sql, n.Name, b)
	}
	return lines[1 : len(lines)-1], nil
}

func (c *sqlCluster) mustOwn(n *harness.Node, db string, index uint64, sql string, args ...any) []string {
	c.t.Helper()
	rows, err := c.own(n, db, index, sql, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return rows
}

// dump is all that a node's own copy of a database holds: the schema, every table with its rowids, shadow tables of
// virtual ones and statistics too. "" is a database that does not exist.
func (c *sqlCluster) dump(n *harness.Node, db string, index uint64) string {
	c.t.Helper()
	var out strings.Builder
	section := func(title string, rows []string) {
		out.WriteString("-- " + title + "\n")
		for _, r := range rows {
			out.WriteString(r + "\n")
		}
	}
	schema, err := c.own(n, db, index, "SELECT rowid, type, name, tbl_name, sql FROM sqlite_schema WHERE tbl_name NOT LIKE '\\_debros\\_%' ESCAPE '\\' ORDER BY rowid")
	if err != nil && strings.Contains(err.Error(), "does not exist") {
		return ""
	}
	if err != nil {
		c.t.Fatal(err)
	}
	section("schema", schema)
	section("user_version", c.mustOwn(n, db, index, "PRAGMA user_version"))
	tables := c.mustOwn(n, db, index, "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type <> 'view' AND name NOT LIKE '\\_debros\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_schema' ESCAPE '\\' ORDER BY name")
	for _, row := range tables {
		var cols []any
		if err := json.Unmarshal([]byte(row), &cols); err != nil {
			c.t.Fatal(err)
		}
		name, what := cols[0].(string), "rowid, *"
		if cols[1].(float64) == 1 {
			what = "*"
		}
		rows, err := c.own(n, db, index, "SELECT "+what+` FROM "`+name+`"`)
		if err != nil { // a table whose rows cannot be read is so everywhere, a generated column that fails for one
			rows = []string{"error: " + err.Error()[strings.LastIndex(err.Error(), "{"):]}
		}
		section(name, rows)
	}
	return out.String()
}

// equal compares a database on all servers, each by its own state, and gives its dump.
func (c *sqlCluster) equal(when, db string, index uint64) string {
	c.t.Helper()
	want := c.dump(c.Servers[0], db, index)
	for _, n := range c.Servers[1:] {
		if got := c.dump(n, db, index); got != want {
			c.t.Errorf("%s: database %s differs: %s", when, db, differ(c.Servers[0].Name, want, n.Name, got))
		}
	}
	return want
}

// differ shows the first lines in which two dumps differ.
func differ(aName, a, bName, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	section := ""
	for i := range max(len(as), len(bs)) {
		var x, y string
		if i < len(as) {
			x = as[i]
		}
		if i < len(bs) {
			y = bs[i]
		}
		if x != y {
			return fmt.Sprintf("line %d, in %s\n%s: %.400s\n%s: %.400s", i, section, aName, x, bName, y)
		}
		if strings.HasPrefix(x, "-- ") {
			section = x[3:]
		}
	}
	return "not at all"
}
