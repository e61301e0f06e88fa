package httpapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// keepChanges makes a database of which changes are kept, with three of them behind the definition.
func keepChanges(s *harness) {
	s.t.Helper()
	s.want(200, `"changes_bytes":67108864`, "PATCH", "/v1/sql/databases/default", `{"changes_bytes": 67108864}`)
	s.want(200, "", "POST", "/v1/sql/execute", `{"statements": ["CREATE TABLE t (id INTEGER PRIMARY KEY, a)", "CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID"]}`)
	s.want(200, "", "POST", "/v1/sql/execute", `{"statements": [{"sql": "INSERT INTO t VALUES (1, ?)", "args": [{"blob": "AAE="}]}, "UPDATE t SET id = 9, a = 2.0", "INSERT INTO w VALUES ('x', 1)", "UPDATE w SET k = 'y'"]}`)
}

// lines reads a feed to its end.
func (s *harness) feed(status int, query string, header ...string) []string {
	s.t.Helper()
	r := s.want(status, "", "GET", "/v1/sql/changes"+query, "", header...)
	return strings.Split(strings.TrimSuffix(r.body, "\n"), "\n")
}

// withoutTime takes the times out, which differ.
func withoutTime(t *testing.T, lines []string) string {
	t.Helper()
	var out []string
	for _, l := range lines {
		before, rest, ok := strings.Cut(l, `"time":"`)
		if ok {
			at, after, _ := strings.Cut(rest, `",`)
			if _, err := time.Parse(time.RFC3339, at); err != nil {
				t.Errorf("%s: %v", l, err)
			}
			l = before + after
		}
		out = append(out, l)
	}
	return strings.Join(out, "\n")
}

func TestChangesAsLines(t *testing.T) {
	s := start(t, Config{})
	s.want(409, "sql database update -changes=64MiB default", "GET", "/v1/sql/changes", "")
	s.want(404, "", "GET", "/v1/sql/changes?db=other", "")
	keepChanges(s)
	whole := []string{
		`{"id":"13.1","op":"schema","table":"t","sql":"CREATE TABLE t (id INTEGER PRIMARY KEY, a)"}`,
		`{"id":"13.2","op":"schema","table":"w","sql":"CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID"}`,
		`{"id":"14.1","op":"insert","table":"t","rowid":1,"new":{"id":1,"a":{"blob":"AAE="}}}`,
		`{"id":"14.2","op":"update","table":"t","rowid":1,"new_rowid":9,"old":{"id":1,"a":{"blob":"AAE="}},"new":{"id":9,"a":2.0}}`,
		`{"id":"14.3","op":"insert","table":"w","key":{"k":"x"},"new":{"k":"x","v":1}}`,
		`{"id":"14.4","op":"update","table":"w","key":{"k":"x"},"old":{"k":"x","v":1},"new":{"k":"y","v":1}}`,
	}
	const end = `{"control":"end","at":"14.4","index":14}`
	expect := func(query string, from string, changes ...string) {
		t.Helper()
		want := strings.Join(append(append([]string{`{"control":"begin","at":"` + from + `"}`}, changes...), end), "\n")
		if got := withoutTime(t, s.feed(200, query)); got != want {
			t.Errorf("%s:\n%s\nnot\n%s", query, got, want)
		}
	}
	expect("", "", whole...)
	expect("?from=13.1", "13.1", whole[1:]...)
	expect("?from=13", "13", whole[2:]...)
	expect("?from=14.2&format=ndjson", "14.2", whole[4:]...)
	expect("?from=14.4", "14.4")
	expect("?from=now", "14.4")
	expect("?table=W", "", whole[1], whole[4], whole[5])
	expect("?table=w&table=t&from=14.0", "14.0", whole[2:]...)
	expect("?table=none&stale", "")
	for query, status := range map[string]int{
		"?from=x": 400, "?from=1.2.3": 400, "?format=xml": 400, "?index=5": 400, "?per_page=5": 400, "?stale&leader": 400,
		"?from=14.5": 410, "?from=3": 410, "?from=11.1": 410, "?from=900": 410, "?db=a+b": 400,
	} {
		s.feed(status, query)
	}
	s.want(405, "", "POST", "/v1/sql/changes", "{}")
	for _, body := range []string{"", "{}", `{"changes_bytes": 5}`, `{"changes_bytes": -1}`, `{"changes_bytes": "1"}`, `{"changes_byte": 0}`, `{"changes_bytes": 1e30}`} {
		s.want(400, "", "PATCH", "/v1/sql/databases/default", body)
	}
	s.want(404, "", "PATCH", "/v1/sql/databases/none", `{"changes_bytes": 0}`)
	r := s.want(200, "default", "PATCH", "/v1/sql/databases/default", `{"changes_bytes": 0}`)
	if strings.Contains(r.body, "changes_bytes") {
		t.Errorf("it still keeps changes: %s", r.body)
	}
	s.want(409, "", "GET", "/v1/sql/changes?from=14.1", "")
}

// open begins to read a feed that does not end.
func (s *harness) open(query string, header ...string) (*bufio.Reader, *http.Response) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", s.url+"/v1/sql/changes"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.c.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { res.Body.Close() })
	return bufio.NewReader(res.Body), res
}

func nextLine(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}

func TestFollowedChangesComeWhenTheyAreMadeWithHeartbeatsBetween(t *testing.T) {
	s := start(t, Config{})
	keepChanges(s)
	s.h.changeHeartbeat = 10 * time.Millisecond
	events, res := s.open("?from=3&table=t", "Accept", "text/event-stream", "Last-Event-ID", "14.1")
	if ct := res.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("content type %q", ct)
	}
	for _, want := range []string{"event: begin", "id: 14.1", `data: {"control":"begin","at":"14.1"}`, "", "id: 14.2"} {
		if got := nextLine(t, events); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	follow, _ := s.open("?from=14.4&follow")
	for range 3 {
		nextLine(t, follow) // the beginning, and heartbeats
	}
	s.want(200, "", "POST", "/v1/sql/execute", `{"statements": ["INSERT INTO w VALUES ('z', 0)", "DELETE FROM t"]}`)
	var seen []string
	for len(seen) < 2 {
		if line := nextLine(t, follow); !strings.Contains(line, `"heartbeat"`) {
			seen = append(seen, line)
		}
	}
	if got := withoutTime(t, seen); got != `{"id":"15.1","op":"insert","table":"w","key":{"k":"z"},"new":{"k":"z","v":0}}`+"\n"+`{"id":"15.2","op":"delete","table":"t","rowid":9,"old":{"id":9,"a":2.0}}` {
		t.Error(got)
	}
	for nextLine(t, events) != "id: 15.2" {
	}
	if line := nextLine(t, events); !strings.Contains(line, `"op":"delete"`) { // the insert into w is not among them
		t.Error(line)
	}
	s.want(200, "", "DELETE", "/v1/sql/databases/default", "")
	for {
		line := nextLine(t, follow)
		if strings.Contains(line, `"heartbeat"`) {
			continue
		}
		if !strings.HasPrefix(line, `{"control":"cut","at":"15.2","error":{"kind":`) {
			t.Errorf("the database is gone: %s", line)
		}
		break
	}
}

func TestSlowReaderIsCutBehindWhatItGetsAndGoesOnThere(t *testing.T) {
	const rows = 30_000
	s := start(t, Config{})
	s.h.changeReaderTimeout = 100 * time.Millisecond
	keepChanges(s)
	s.want(200, fmt.Sprint(rows), "POST", "/v1/sql/execute", fmt.Sprintf(
		`{"statements": ["INSERT INTO t SELECT NULL, hex(zeroblob(500)) FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT %d) SELECT i FROM c)"]}`, rows))
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(256 << 10)
	fmt.Fprintf(conn, "GET /v1/sql/changes?from=14&follow HTTP/1.0\r\nHost: localhost\r\n\r\n")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the feed to be cut", func() bool { // the server's part has ended: nobody holds a stream any more
		s.b.mu.Lock()
		defer s.b.mu.Unlock()
		return s.b.open == 0
	})
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	got := len(lines) - 2
	var last struct{ Control, At, ID string }
	if err := json.Unmarshal([]byte(lines[got+1]), &last); err != nil || last.Control != "cut" || !strings.Contains(lines[got+1], "too slow") {
		t.Fatalf("the last line is %.200s (%v)", lines[got+1], err)
	}
	if want := fmt.Sprintf("15.%d", got); last.At != want || got == 0 || got >= rows {
		t.Fatalf("cut at %s behind %d changes", last.At, got)
	}
	rest := s.feed(200, "?from="+last.At)
	if n := len(rest) - 2; n != rows-got || !strings.HasPrefix(rest[1], fmt.Sprintf(`{"id":"15.%d",`, got+1)) {
		t.Errorf("%d changes behind the first %d, beginning with %.40s", n, got, rest[1])
	}
}
