//go:build unix

package test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/debros/debros/test/harness"
	"github.com/debros/debros/test/sqlgen"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "first seed of the random tests; 0 = another one each time")
	seedsFlag = flag.Int("seeds", 0, "how many seeds the random tests take; 0 = 3, or 60 with DEBROS_SYSTEM_TESTS")
)

// TestRandomSQLLeavesEqualReplicas writes random schema and row changes from several clients at once, while servers are
// killed, restarted, sent snapshots, and the cluster is restored to an earlier state. Then every database is
// compared on all servers, row by row, each by its own state. A seed gives the same requests and faults; in which order
// concurrent requests commit is the machine's choice.
func TestRandomSQLLeavesEqualReplicas(t *testing.T) {
	first, seeds := *seedFlag, *seedsFlag
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	if seeds == 0 {
		seeds = 3
		if system() {
			seeds = 60
		}
	}
	c := newSQLCluster(t)
	for i := range seeds {
		seed := first + uint64(i)
		if t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { newSQLStory(t, c, seed).run() }); t.Failed() {
			return // the servers are not what the next seed expects
		}
	}
}

// sqlStory is one seed's.
type sqlStory struct {
	*sqlCluster
	g         *sqlgen.Generator
	databases []string
	archive   []byte // of an earlier moment
	down      *harness.Node

	mu       sync.Mutex // protects the following
	index    uint64     // of the last write acknowledged
	done     int
	refused  int
	messages map[string]int
}

func newSQLStory(t *testing.T, c *sqlCluster, seed uint64) *sqlStory {
	s := &sqlStory{sqlCluster: &sqlCluster{Cluster: c.Cluster, t: t, http: c.http}, g: sqlgen.New(seed), messages: map[string]int{}}
	for i := range 2 {
		s.databases = append(s.databases, fmt.Sprintf("r%d-%d", seed, i))
	}
	return s
}

func (s *sqlStory) run() {
	for _, db := range s.databases {
		s.createDatabase(db)
		s.must(s.Servers[0], db, sqlgen.Setup...)
	}
	for step := range 8 {
		s.fault()
		s.burst(30)
		if s.t.Failed() {
			return
		}
		if step%4 == 3 {
			s.compare(fmt.Sprintf("after step %d", step))
		}
	}
	if s.refused*4 > s.done*3 {
		s.t.Errorf("%d of %d statements failed: the workload says too little; %v", s.refused, s.done, s.messages)
	}
	s.t.Logf("%d statements, %d of them failed as they should", s.done, s.refused)
}

// burst sends requests from several clients at once, each through a server of its own.
func (s *sqlStory) burst(requests int) {
	work := make(chan sqlRequest)
	var clients sync.WaitGroup
	var up []*harness.Node
	for _, n := range s.Servers {
		if n != s.down {
			up = append(up, n)
		}
	}
	for i := range 4 {
		clients.Go(func() {
			for r := range work {
				rep, err := s.execute(up[i%len(up)], r)
				if err != nil && !strings.Contains(err.Error(), "does not exist") { // a restore may have taken the database
					s.t.Errorf("%+v: %v", r, err)
					continue
				}
				s.note(rep)
			}
		})
	}
	for range requests {
		work <- requestOf(s.g.Request(), s.databases[s.g.IntN(len(s.databases))])
	}
	close(work)
	clients.Wait()
}

func requestOf(r sqlgen.Request, database string) sqlRequest {
	out := sqlRequest{Database: database, RequestID: r.ID, Transaction: r.Transaction}
	for _, st := range r.Statements {
		args := slices.Clone(st.Args)
		for i, a := range args {
			if b, ok := a.([]byte); ok {
				args[i] = map[string][]byte{"blob": b}
			}
		}
		out.Statements = append(out.Statements, statement{st.SQL, args})
	}
	return out
}

func (s *sqlStory) note(rep *sqlReply) {
	if rep == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index = max(s.index, rep.Index)
	for _, res := range rep.Results {
		s.done++
		if res.Error != nil {
			s.refused++
			s.messages[res.Error.Kind]++
			if res.Error.Kind == "internal" || res.Error.Kind == "unavailable" {
				s.t.Errorf("a statement's result is %v", res.Error)
			}
		}
	}
}

// fault does what servers live through, one thing at a time; a majority stays.
func (s *sqlStory) fault() {
	s.t.Helper()
	ctx := s.within()
	check := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if s.down != nil {
		check(s.down.Start())
		s.down = nil
		check(s.WaitReady(ctx))
	}
	n := s.Servers[s.g.IntN(len(s.Servers))]
	switch s.g.IntN(7) {
	case 0: // its absence is longer than the log: it will get a snapshot
		check(n.Kill())
		s.down = n
	case 1:
		check(n.Restart())
		check(s.WaitReady(ctx))
	case 2:
		check(n.Stop())
		s.down = n
	case 3, 4:
		check(s.Wait(ctx, func(ctx context.Context) error {
			rc, _, err := n.API().Snapshot().Save(ctx, nil)
			if err != nil {
				return err
			}
			defer rc.Close()
			s.archive, err = io.ReadAll(rc)
			return err
		}))
	case 5:
		if s.archive == nil {
			return
		}
		check(s.Wait(ctx, func(ctx context.Context) error {
			_, err := n.API().Snapshot().Restore(ctx, bytes.NewReader(s.archive), nil)
			return err
		}))
	}
}

// compare brings everybody back and compares all databases.
func (s *sqlStory) compare(when string) {
	s.t.Helper()
	if s.down != nil {
		if err := errors.Join(s.down.Start(), s.WaitReady(s.within())); err != nil {
			s.t.Fatal(err)
		}
		s.down = nil
	}
	last := s.must(s.Servers[0], "default", "CREATE TABLE IF NOT EXISTS marks (a)", "INSERT INTO marks VALUES (1)")
	for _, db := range s.databases {
		s.equal(when, db, last)
	}
	s.equal(when, "default", last)
}
