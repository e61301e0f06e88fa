package api_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/debros/debros/api"
)

func TestChangesCarryTheValuesOfTheirRows(t *testing.T) {
	db, ctx := newSQL(t), t.Context()
	if d, _, err := db.SetChanges(ctx, "default", 1<<20, nil); err != nil || d.ChangesBytes != 1<<20 {
		t.Fatalf("%+v, %v", d, err)
	}
	if d, _, err := db.CreateDatabase(ctx, &api.SQLDatabase{Name: "other", ChangesBytes: 2 << 20}, nil); err != nil || d.ChangesBytes != 2<<20 {
		t.Fatalf("%+v, %v", d, err)
	}
	for _, sql := range []string{"CREATE TABLE t (a, \"b \"\" c\", d)", "CREATE TABLE w (k PRIMARY KEY, v) WITHOUT ROWID"} {
		if _, err := db.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	reply, err := db.Execute(ctx, &api.SQLRequest{Statements: []api.SQLStatement{
		api.Stmt("INSERT INTO t VALUES (?, ?, ?)", int64(1)<<62, "x\xff", []byte{0}), api.Stmt("UPDATE t SET a = 1.0, rowid = 7"),
		api.Stmt("INSERT INTO w VALUES ('k', NULL)"), api.Stmt("DELETE FROM t"),
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	feed := db.Changes(api.SQLFeedOptions{From: fmt.Sprint(reply.Meta.Index - 1)})
	var got []string
	for c, err := range feed.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(c.Time) > time.Hour {
			t.Errorf("made at %s", c.Time)
		}
		line := fmt.Sprint(strings.TrimPrefix(c.ID, fmt.Sprint(reply.Meta.Index)), " ", c.Op, " ", c.Table, " ", c.RowID, " ", c.NewRowID)
		for _, row := range []*api.SQLRow{c.Key, c.Old, c.New} {
			if row != nil {
				line += fmt.Sprintf(" %q%#v", row.Columns(), row.Values())
			}
		}
		got = append(got, line)
	}
	const row = `["a" "b \" c" "d"][]interface {}{4611686018427387904, "x\xff", []uint8{0x0}}`
	const now = `["a" "b \" c" "d"][]interface {}{1, "x\xff", []uint8{0x0}}`
	want := []string{
		".1 insert t 1 1 " + row, ".2 update t 1 7 " + row + " " + now,
		`.3 insert w 0 0 ["k"][]interface {}{"k"} ["k" "v"][]interface {}{"k", interface {}(nil)}`, ".4 delete t 7 7 " + now,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if at := feed.Position(); at != fmt.Sprintf("%d.4", reply.Meta.Index) {
		t.Errorf("it ends at %s", at)
	}
}

// An agent that goes away in the middle of a line, says that it stops, or has no leader for a moment is asked again, for
// what is behind the last position that was heard.
func TestFeedGoesOnWhereItBrokeOff(t *testing.T) {
	var asked atomic.Int32
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		change := func(seq int) string {
			return fmt.Sprintf(`{"id":"5.%d","time":"2026-01-02T03:04:05Z","op":"insert","table":"t","rowid":%d,"new":{"a":null}}`+"\n", seq, seq)
		}
		from := r.URL.Query().Get("from")
		switch n := asked.Add(1); n {
		case 1:
			if from != "now" || !r.URL.Query().Has("follow") || r.URL.Query().Get("db") != "shop" {
				t.Errorf("asked for %s", r.URL)
			}
			_, _ = io.WriteString(w, `{"control":"begin","at":"4.9"}`+"\n")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case 2:
			if from != "4.9" {
				t.Errorf("from %s behind the beginning", from)
			}
			_, _ = io.WriteString(w, change(1)+change(2)[:20])
		case 3:
			if from != "5.1" {
				t.Errorf("from %s behind half a line", from)
			}
			_, _ = io.WriteString(w, change(2)+`{"control":"heartbeat","at":"5.7"}`+"\n"+`{"control":"cut","at":"5.7","error":{"kind":"rate_limited","message":"slow"}}`+"\n")
		case 4:
			if from != "5.7" {
				t.Errorf("from %s behind a heartbeat", from)
			}
			http.Error(w, "No cluster leader", http.StatusServiceUnavailable)
		default:
			_, _ = io.WriteString(w, change(8)+`{"control":"cut","at":"5.8","error":{"kind":"gone","message":"too late","hint":"begin anew"}}`+"\n")
		}
	}))
	defer agent.Close()
	client, err := api.New(api.Config{Address: agent.URL, Retry: api.RetryPolicy{Max: -1, WaitMin: time.Millisecond, WaitMax: 2 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	feed := client.SQL().Database("shop").Changes(api.SQLFeedOptions{From: "now", Follow: true})
	var ids []string
	var last error
	errs := 0
	for c, err := range feed.All(t.Context()) {
		if err != nil {
			errs++
			last = err
			continue
		}
		ids = append(ids, c.ID)
	}
	if got := strings.Join(ids, " "); got != "5.1 5.2 5.8" || errs != 5 || !errors.Is(last, api.ErrGone) || feed.Position() != "5.8" {
		t.Errorf("%s, %d errors, at %s: %v", got, errs, feed.Position(), last)
	}
}

func TestFeedOfNonsenseIsAnError(t *testing.T) {
	var line string
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, line+"\n") }))
	defer agent.Close()
	client, err := api.New(api.Config{Address: agent.URL, Retry: api.RetryPolicy{Max: -1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, line = range []string{
		"", "x", "[]", "{}", `{"id":"1.1","new":[]}`, `{"id":"1.1","new":{"a"}}`, `{"id":"1.1","new":{"a":true}}`, `{"id":"1.1","old":{"a":1 "b":2}}`,
		`{"id":"1.1","key":{"a":{"blob":"!"}}}`, `{"id":5}`, `{"control":"cut","at":"1.1"}`, `{"control":"begin"}`,
	} {
		for c, err := range client.SQL().Changes(api.SQLFeedOptions{}).All(t.Context()) {
			if err == nil {
				t.Errorf("%s: %+v", line, c)
			}
			break
		}
	}
}
