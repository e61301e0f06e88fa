package agent_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

// follower is a program that follows the changes by one agent, whatever happens to it.
type follower struct {
	mu   sync.Mutex // protects the following
	seen []string
	errs []string
	last bool // it has seen the row "last"
}

func changeLine(c *api.SQLChange) string {
	line := fmt.Sprintf("%s %s %s %d", c.ID, c.Op, c.Table, c.RowID)
	for _, row := range []*api.SQLRow{c.Old, c.New} {
		if row != nil {
			line += fmt.Sprint(" ", row.Values())
		}
	}
	return line + c.SQL
}

func (f *follower) follow(ctx context.Context, feed *api.SQLFeed) {
	for c, err := range feed.All(ctx) {
		f.mu.Lock()
		if err != nil {
			f.errs = append(f.errs, err.Error())
		} else {
			f.seen = append(f.seen, changeLine(c))
			f.last = f.last || strings.HasSuffix(f.seen[len(f.seen)-1], " last]")
		}
		last := f.last
		f.mu.Unlock()
		if last {
			return
		}
	}
}

func (f *follower) finished() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// One request of 20,000 inserts is 20,000 changes, in their order, from every agent, though the leader goes away; and
// a program that reads a part at a time, from one agent after the other, misses none.
func TestChangesAreTheSameEverywhereWhenTheLeaderGoesAway(t *testing.T) {
	t.Parallel()
	const rows = 20_000
	c := agenttest.Cluster(t, 3, 1)
	ctx := t.Context()
	leader := c.Leader()
	writer := c.Follower().API.SQL()
	if _, _, err := writer.SetChanges(ctx, "default", 64<<20, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Exec(ctx, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)"); err != nil {
		t.Fatal(err)
	}
	followers := map[*agenttest.Node]*follower{}
	var wg sync.WaitGroup
	defer wg.Wait()
	following, stop := context.WithCancel(ctx)
	defer stop()
	for _, n := range c.Nodes() {
		f := &follower{}
		followers[n] = f
		feed := n.API.SQL().Changes(api.SQLFeedOptions{Follow: true})
		wg.Go(func() { f.follow(following, feed) })
	}
	q := &api.SQLRequest{Transaction: true}
	for i := range rows {
		q.Statements = append(q.Statements, api.Stmt("INSERT INTO t VALUES (?, ?)", i+1, fmt.Sprint("row ", i+1)))
	}
	if _, err := writer.Execute(ctx, q, nil); err != nil {
		t.Fatal(err)
	}

	// Most feeds have not got that far when the leader goes.
	leader.Kill()
	c.Drop(leader)
	delete(followers, leader)
	agenttest.Eventually(t, "a write by another leader", func() bool {
		_, err := writer.Exec(ctx, "UPDATE t SET a = 'changed' WHERE id = 7")
		return err == nil
	})
	if _, err := writer.Exec(ctx, "INSERT INTO t VALUES (?, 'last')", rows+1); err != nil {
		t.Fatal(err)
	}
	var want []string
	for n, f := range followers {
		agenttest.Eventually(t, "the last change by "+n.Spec.Name, f.finished)
		if want == nil {
			want = f.seen
			checkInserts(t, want, rows)
		} else if !slices.Equal(f.seen, want) {
			t.Errorf("%s tells %d other changes than another agent, which tells %d; errors %q", n.Spec.Name, len(f.seen), len(want), f.errs)
		}
	}
	parts(t, c.Nodes(), want)
}

// checkInserts checks the whole feed: a table, its rows, an update and the last row.
func checkInserts(t *testing.T, got []string, rows int) {
	t.Helper()
	if len(got) != rows+3 {
		t.Fatalf("%d changes, not %d", len(got), rows+3)
	}
	index, _, _ := strings.Cut(got[1], ".")
	for i := range rows {
		if want := fmt.Sprintf("%s.%d insert t %d [%d row %d]", index, i+1, i+1, i+1, i+1); got[i+1] != want {
			t.Fatalf("change %d is %q, not %q", i+1, got[i+1], want)
		}
	}
	if u := got[rows+1]; !strings.HasSuffix(u, ".1 update t 7 [7 row 7] [7 changed]") {
		t.Errorf("the update is %q", u)
	}
}

// parts reads some changes at a time, each part by another agent, behind the last one of the part before.
func parts(t *testing.T, nodes []*agenttest.Node, want []string) {
	t.Helper()
	const some = 1733
	var got []string
	at := ""
	for i := 0; len(got) < len(want); i++ {
		n := 0
		feed := nodes[i%len(nodes)].API.SQL().Changes(api.SQLFeedOptions{From: at, Tables: []string{"T"}})
		for c, err := range feed.All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, changeLine(c))
			if n++; n == some {
				break
			}
		}
		if n == 0 {
			break
		}
		at = feed.Position()
	}
	if !slices.Equal(got, want) {
		t.Errorf("in parts: %d changes, which are not the same %d", len(got), len(want))
	}
}
