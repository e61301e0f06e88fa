//go:build unix

package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/test/harness"
)

// hostile is a request that no client should send, and the word that tells its sender what was wrong.
type hostile struct {
	name, path string
	status     int
	want       string
	body       any
}

// Whatever is sent to three servers ends within bounds and says why; the leader keeps leading, others' writes go on, and
// no server's memory grows with what was asked of it.
func TestBadSQLLeavesTheLeaderLeading(t *testing.T) {
	t.Parallel()
	c := newSQLCluster(t)
	leader := harness.LeaderOf(t, c.Cluster)
	c.must(leader, "default", "create table t (a)", "create table ticks (n integer primary key)",
		"insert into t with recursive c(n) as (select 1 union all select n + 1 from c where n < 2000) select n from c")
	before := c.term()
	ticks := c.tick()
	for i, h := range hostileSQL() {
		n := c.Servers[i%len(c.Servers)]
		start := time.Now()
		status, answer := c.post(n, h.path, h.body, time.Minute)
		if status != h.status || !strings.Contains(answer, h.want) {
			t.Errorf("%s: %d %.300s, want %d with %q", h.name, status, answer, h.status, h.want)
		}
		t.Logf("%s: %s", h.name, time.Since(start).Round(time.Millisecond))
	}
	c.abandonedQueriesEnd()
	made := ticks()
	if after := c.term(); after != before {
		t.Errorf("term and leader are %s, were %s", after, before)
	}
	if made < 10 {
		t.Errorf("others made %d writes meanwhile", made)
	}
	index := c.must(leader, "default", "insert into t values ('alive')")
	c.equal("after bad input", "default", index)
	for _, n := range c.Servers {
		if peak := peakBytes(t, n); peak > 1<<30 {
			t.Errorf("%s came to %d MB", n.Name, peak>>20)
		}
	}
}

const (
	endless   = "with recursive c(n) as (select 1 union all select n + 1 from c) "
	cartesian = "from t a, t b, t c, t d"
)

func hostileSQL() []hostile {
	execute, query := "/v1/sql/execute", "/v1/sql/query"
	write := func(sql string, args ...any) sqlRequest { return sqlRequest{Statements: []statement{{sql, args}}} }
	numbers := make([]any, 1_000_000)
	for i := range numbers {
		numbers[i] = i % 10
	}
	like := "select count(*) from t a, t b where replace(hex(zeroblob(100000)), '0', 'a') || a.a like '%" + strings.Repeat("a", 200) + "b'"
	return []hostile{
		{"a value of 2 GB read", query, 413, "too big", statement{SQL: "select zeroblob(2000000000)"}},
		{"a value of 2 GB written", execute, 200, "too big", write("insert into t values (zeroblob(2000000000))")},
		{"an endless read", "/db/query?db_timeout=1s", 200, "query timeout", []string{endless + "select max(n) from c"}},
		{"a join of everything read", "/db/query?db_timeout=1s", 200, "query timeout", []string{"select count(*) " + cartesian}},
		{"an endless write", execute, 200, "too much work", write("insert into t " + endless + "select n from c")},
		{"a join of everything written", execute, 200, "too much work", write("insert into t select a.a " + cartesian)},
		{"a million arguments read", query, 400, "at most 32766 arguments", statement{"select ?", numbers}},
		{"a million arguments written", execute, 400, "at most 32766 arguments", write("insert into t values (?)", numbers...)},
		{"a million parameters", execute, 200, "too many SQL variables", write("select " + strings.Repeat("?,", 500_000) + "?")},
		{"a statement above 1 MiB", execute, 200, "a statement may have 1048576 bytes", write("select '" + strings.Repeat("x", 1<<20) + "'")},
		{"a deep expression read", query, 400, "Recursion limit", statement{SQL: "select " + strings.Repeat("not ", 100_000) + "1"}},
		{"deep parentheses written", execute, 200, "Recursion limit", write("insert into t values (" + strings.Repeat("(", 400_000) + "1" + strings.Repeat(")", 400_000) + ")")},
		{"a pattern of LIKE above its bound", execute, 200, "pattern too complex", write("insert into t select 1 where 'a' like '" + strings.Repeat("%a", 500) + "'")},
		{"a pattern of GLOB above its bound", query, 400, "pattern too complex", statement{SQL: "select 'a' glob '" + strings.Repeat("*a", 500) + "'"}},
		{"LIKE that looks back, written", execute, 200, "too much work", write("insert into t " + like)},
		{"large values written without end", execute, 200, "too much work", write("insert into t select hex(zeroblob(500000)) || n from (" + endless + "select n from c)")},
		{"all so far at each row, written", execute, 200, "too much work", write("insert into t select group_concat(hex(zeroblob(1000))) over (rows 1000 preceding) from (" + endless + "select n from c)")},
		{"LIKE that looks back, read", "/db/query?db_timeout=1s", 200, "query timeout", []string{like}},
	}
}

// post sends one request and gives its answer; one that does not come within the time fails the test.
func (c *sqlCluster) post(n *harness.Node, path string, v any, within time.Duration) (int, string) {
	c.t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+n.HTTPAddr()+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", asJSON)
	res, err := c.http.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return res.StatusCode, err.Error()
	}
	return res.StatusCode, string(answer)
}

// abandonedQueriesEnd: more clients give up endless reads than a database has connections to read with, and others read.
func (c *sqlCluster) abandonedQueriesEnd() {
	c.t.Helper()
	n := c.Servers[0]
	done := make(chan struct{})
	const many = 24
	for range many {
		go func() {
			defer func() { done <- struct{}{} }()
			c.post(n, "/v1/sql/query", statement{SQL: endless + "select max(n) from c"}, time.Second)
		}()
	}
	for range many {
		<-done
	}
	if status, answer := c.post(n, "/v1/sql/query", statement{SQL: "select 'read'"}, time.Minute); status != 200 || !strings.Contains(answer, `["read"]`) {
		c.t.Errorf("after abandoned reads: %d %s", status, answer)
	}
}

// term is the leader and its term.
func (c *sqlCluster) term() string {
	c.t.Helper()
	var out string
	err := c.Wait(c.within(), func(ctx context.Context) error {
		h, err := c.Servers[0].API().Operator().AutopilotHealth(ctx, nil)
		if err != nil {
			return err
		}
		for _, s := range h.Servers {
			if s.Leader && s.LastTerm > 0 {
				out = fmt.Sprintf("%s in term %d", s.Name, s.LastTerm)
				return nil
			}
		}
		return fmt.Errorf("no leader among %+v", h.Servers)
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// tick writes as another client, to one server after the other, until the returned function is called, which tells how often.
// A write that fails fails the test: none is given up by the agent while one leader leads.
func (c *sqlCluster) tick() (stop func() int) {
	ctx, cancel := context.WithCancel(c.t.Context())
	result := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			s := sqlRequest{Statements: []statement{{SQL: "insert into ticks default values"}}}
			if status, answer := c.post(c.Servers[n%len(c.Servers)], "/v1/sql/execute", s, time.Minute); status != 200 || strings.Contains(answer, `"error"`) {
				c.t.Errorf("write %d of another client: %d %s", n, status, answer)
				break
			}
		}
		result <- n
	}()
	return func() int {
		cancel()
		return <-result
	}
}

// peakBytes is the most memory that a node ever had resident; 0 where the system does not tell.
func peakBytes(t *testing.T, n *harness.Node) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.Pid()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			size, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return size << 10
		}
	}
	return 0
}
