package sqldriver_test

import (
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api/sqldriver"
)

func TestDataSourceNamesTheDatabase(t *testing.T) {
	sqldriver.Register()
	sqldriver.Register()
	if n := len(slices.DeleteFunc(sql.Drivers(), func(d string) bool { return d != sqldriver.Name })); n != 1 {
		t.Fatalf("registered %d times", n)
	}
	front, ns := agenttest.NewFront(t, shared.Node()), shared.Namespace()
	db, err := sql.Open(sqldriver.Name, front.URL+"?ns="+ns+"&db=default&consistency=none&freshness=1h&freshness_strict=true&token=a%26b")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec(t, db, "CREATE TABLE t (a)")
	exec(t, db, "INSERT INTO t VALUES (7)")
	if n := one[int](t, db, "SELECT 7"); n != 7 {
		t.Error(n)
	}
	last := front.Asked()[len(front.Asked())-1]
	u, err := url.Parse(strings.TrimPrefix(last, "POST "))
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); u.Path != "/v1/sql/query" || q.Get("ns") != ns || q.Get("db") != "default" || !q.Has("stale") || q.Get("freshness") != "1h0m0s" || !q.Has("freshness_strict") {
		t.Errorf("asked %s", last)
	}
}

func TestEmptyDataSourceIsTheEnvironments(t *testing.T) {
	t.Setenv("DEBROS_HTTP_ADDR", shared.Node().API.Address())
	t.Setenv("DEBROS_NAMESPACE", shared.Namespace())
	c, err := sqldriver.Driver{}.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sqldriver.Register()
	db, err := sql.Open(sqldriver.Name, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDataSourceIsRefused(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqldriver.ParseDSN("127.0.0.1?token_file=" + token); err != nil {
		t.Error(err)
	}
	for dsn, why := range map[string]string{
		"127.0.0.1?database=x":               `"database"`,
		"127.0.0.1?db=a&db=b":                "twice",
		"127.0.0.1?consistency=fast":         `"fast"`,
		"127.0.0.1?freshness_strict=so":      `"so"`,
		"127.0.0.1?freshness=5":              `"5"`,
		"127.0.0.1?token=secret%zz":          "escaped",
		"ftp://127.0.0.1?token=secret":       "scheme",
		"127.0.0.1?token_file=/no/such/file": "no such file",
	} {
		_, err := sqldriver.ParseDSN(dsn)
		if err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}
