//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/test/harness"
)

const (
	// callersStall is the number of writers beside a snapshot: enough that every moment is somebody's latency.
	callersStall = 8
	// stallRowBytes is the size of the rows of the database; writers replace some at random, the worst for its log.
	stallRowBytes = 3000
	// stallFillRows is how many rows one statement of the filling makes.
	stallFillRows = 8000
)

// measureSnapshot compares the latency of writes while a server writes a snapshot of a large database with that of the
// seconds before, and counts what an unchanged database costs the next snapshot. With -against it does so for two
// builds in turn.
func measureSnapshot(ctx context.Context, b *bench) error {
	builds := []struct{ name, binary string }{{"", b.o.binary}}
	if b.o.against != "" {
		builds = append(builds, struct{ name, binary string }{", the other", b.o.against})
	}
	var all []*stall
	for i, build := range builds {
		s, err := startStall(ctx, b, fmt.Sprintf("snapshot%d", i), build.binary)
		if err != nil {
			return err
		}
		defer s.cluster.Close()
		s.name = build.name
		all = append(all, s)
	}
	for n := range b.size.rounds {
		for _, s := range all {
			if err := s.round(ctx); err != nil {
				return fmt.Errorf("round %d%s: %w", n+1, s.name, err)
			}
			b.progress("snapshot%s, round %d of %d: alone max %s, beside a snapshot of %s max %s", s.name, n+1, b.size.rounds,
				round(quantile(s.before.laps, 1)), round(s.took), round(quantile(s.during.laps, 1)))
		}
	}
	for _, s := range all {
		if err := s.report(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// stall is one server with a large database.
type stall struct {
	name           string
	cluster        *harness.Cluster
	rows           int
	before, during loadResult
	after          loadResult // the seconds behind a snapshot, when the database's log is worked off
	took           time.Duration
}

func startStall(ctx context.Context, b *bench, dir, binary string) (*stall, error) {
	path, err := b.subdir(dir)
	if err != nil {
		return nil, err
	}
	sctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	c, err := harness.Start(sctx, harness.Config{Binary: binary, Dir: path, Servers: 1})
	if err != nil {
		return nil, err
	}
	s := &stall{cluster: c, rows: b.size.database / stallRowBytes}
	if err := s.fill(ctx, b); err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

func (s *stall) server() *harness.Node { return s.cluster.Servers[0] }

func (s *stall) fill(ctx context.Context, b *bench) error {
	b.progress("making a database of %d MB", b.size.database/1e6)
	statements := []api.SQLStatement{api.Stmt("create table big (id integer primary key, v blob)"), api.Stmt("create table inserted (id integer primary key, v text)")}
	for n := 0; n < s.rows; n += stallFillRows {
		statements = append(statements, api.Stmt("with recursive n(i) as (select ? union all select i + 1 from n where i < ?) insert into big select i, randomblob(?) from n",
			n+1, min(n+stallFillRows, s.rows), stallRowBytes))
	}
	for _, st := range statements {
		reply, err := s.server().API().SQL().Execute(ctx, &api.SQLRequest{Statements: []api.SQLStatement{st}}, nil)
		if err != nil {
			return err
		}
		if r := reply.Results[0]; r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// round writes, first alone and then until a snapshot is done, and some seconds more.
func (s *stall) round(ctx context.Context) error {
	const alone, behind = 5 * time.Second, 3 * time.Second
	r, err := load(ctx, callersStall, alone, s.writes())
	if err != nil {
		return err
	}
	s.before = s.before.plus(r)
	lctx, cancel := context.WithCancel(ctx)
	defer cancel()
	saved := make(chan error, 1)
	start := time.Now()
	go func() {
		err := s.snapshot(ctx)
		s.took = time.Since(start)
		cancel()
		saved <- err
	}()
	r, err = load(lctx, callersStall, 10*time.Minute, s.writes())
	if serr := <-saved; serr != nil {
		return serr
	}
	if err != nil {
		return err
	}
	s.during = s.during.plus(r)
	if r, err = load(ctx, callersStall, behind, s.writes()); err != nil {
		return err
	}
	s.after = s.after.plus(r)
	return nil
}

// snapshot has the server write a snapshot. Its archive, which is made of that, is not waited for.
func (s *stall) snapshot(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	archive, _, err := s.server().Quick().Snapshot().Save(ctx, nil)
	if err != nil {
		return err
	}
	defer archive.Close()
	_, err = io.ReadFull(archive, make([]byte, 1))
	return err
}

// writes makes callers that replace rows at random.
func (s *stall) writes() func(int) (func() error, func(), error) {
	return func(int) (func() error, func(), error) {
		c, err := dial(s.server().HTTPAddr())
		if err != nil {
			return nil, nil, err
		}
		return func() error {
			return c.do("POST", "/v1/sql/execute", fmt.Appendf(nil, `{"statements":[{"sql":"update big set v = randomblob(%d) where id = ?","args":[%d]}]}`,
				stallRowBytes, 1+rand.IntN(s.rows)))
		}, c.close, nil
	}
}

func (s *stall) report(ctx context.Context, b *bench) error {
	most := quantile(s.during.laps, 1)
	for _, w := range []struct {
		what string
		load loadResult
	}{{"alone", s.before}, {"behind a snapshot", s.after}} {
		b.report.add(row{What: fmt.Sprintf("SQL writes, %d callers, %s%s", callersStall, w.what, s.name), Measured: quantile(w.load.laps, 1).Seconds() * 1e3, Unit: "ms",
			Value: fmt.Sprintf("%.0f/s, p99 %s, max %s", w.load.rate(), round(w.load.P99), round(quantile(w.load.laps, 1)))})
	}
	b.report.add(row{What: fmt.Sprintf("the same while a snapshot of %d MB is written%s", b.size.database/1e6, s.name), Measured: most.Seconds() * 1e3, Unit: "ms", Target: 50, AtMost: true,
		Value: fmt.Sprintf("%.0f/s, p99 %s, max %s; the last took %s", s.during.rate(), round(s.during.P99), round(most), round(s.took))})
	// The database is unchanged from here on; only a key makes a snapshot due.
	if err := s.snapshot(ctx); err != nil {
		return err
	}
	if _, err := s.server().API().KV().Put(ctx, &api.KVPair{Key: "due", Value: []byte("now")}, nil); err != nil {
		return err
	}
	old, err := filesBelow(s.server().Dir, "raft/snapshots")
	if err != nil {
		return err
	}
	start := time.Now()
	if err := s.snapshot(ctx); err != nil {
		return err
	}
	took := time.Since(start)
	written, err := s.newBytes(old)
	if err != nil {
		return err
	}
	b.report.add(row{What: "bytes that a snapshot writes of an unchanged database" + s.name, Measured: float64(written), Unit: "bytes", Target: 1 << 20, AtMost: true,
		Value: fmt.Sprintf("%d bytes, in %s", written, round(took))})
	return s.restart(ctx, b)
}

// restart measures how long a server that is killed takes to answer for its database again.
func (s *stall) restart(ctx context.Context, b *bench) error {
	r, err := load(ctx, callersStall, b.size.round*2, rawInserts(s.server().HTTPAddr()))
	if err != nil {
		return err
	}
	if err := s.server().Kill(); err != nil {
		return err
	}
	start := time.Now()
	if err := s.server().Start(); err != nil {
		return err
	}
	for {
		var n int
		err := s.server().Quick().SQL().QueryRow(ctx, api.Stmt("select count(*) from inserted where id = 1"), nil, &n)
		if err == nil {
			break
		}
		if ctx.Err() != nil || time.Since(start) > time.Minute {
			return fmt.Errorf("after a restart: %w", err)
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	took := time.Since(start)
	b.report.add(row{What: fmt.Sprintf("SIGKILL to the first answer with a database of %d MB%s", b.size.database/1e6, s.name), Measured: took.Seconds(), Unit: "s", Target: 3, AtMost: true,
		Value: fmt.Sprintf("%s, with %d inserts behind the last snapshot", round(took), r.Ops)})
	return nil
}

// newBytes is the size of the files of snapshots that were not there before; a file that two snapshots share is one.
func (s *stall) newBytes(old []os.FileInfo) (int64, error) {
	now, err := filesBelow(s.server().Dir, "raft/snapshots")
	var sum int64
	for _, f := range now {
		fresh := true
		for _, o := range old {
			fresh = fresh && !os.SameFile(f, o)
		}
		if fresh {
			sum += f.Size()
		}
	}
	return sum, err
}

func filesBelow(dir, sub string) (files []os.FileInfo, err error) {
	err = filepath.Walk(filepath.Join(dir, sub), func(_ string, f os.FileInfo, err error) error {
		if err == nil && f.Mode().IsRegular() {
			files = append(files, f)
		}
		return err
	})
	return files, err
}
