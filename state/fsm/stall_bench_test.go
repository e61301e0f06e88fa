package fsm

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/structs"
)

// BenchmarkApplyBesideSnapshot is what applying an entry of eight updates takes at worst while a snapshot of a database is
// written to a file, and in the seconds behind it. It is of the FSM alone: no log, no network.
func BenchmarkApplyBesideSnapshot(b *testing.B) {
	const rows = 100_000
	for b.Loop() {
		f := New(newStore(b), nil)
		apply(b, f, 1, sql(b, "create table big (id integer primary key, v blob)"))
		index := uint64(1)
		for n := 0; n < rows; n += 10_000 {
			index++
			apply(b, f, index, sql(b, fmt.Sprintf("with recursive n(i) as (select %d union all select i + 1 from n where i < %d) insert into big select i, randomblob(3000) from n", n+1, n+10_000)))
		}
		laps := func(until func() bool) (out []time.Duration) {
			for !until() {
				e := &structs.Entry{Time: int64(index), Seed: index}
				for range 8 {
					e.Commands = append(e.Commands, sql(b, fmt.Sprintf("update big set v = randomblob(3000) where id = %d", 1+rand.IntN(rows))))
				}
				index++
				l := []*raft.Log{entryLog(b, index, e)}
				start := time.Now()
				f.ApplyBatch(l)
				out = append(out, time.Since(start))
				time.Sleep(300 * time.Microsecond)
			}
			return out
		}
		within := func(d time.Duration) func() bool {
			end := time.Now().Add(d)
			return func() bool { return time.Now().After(end) }
		}
		report := func(what string, l []time.Duration) {
			slices.Sort(l)
			b.ReportMetric(l[len(l)*99/100].Seconds()*1e3, "p99-ms-"+what)
			b.ReportMetric(l[len(l)-1].Seconds()*1e3, "max-ms-"+what)
		}
		report("alone", laps(within(3*time.Second)))
		snap, err := f.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		file, err := os.Create(filepath.Join(b.TempDir(), "state"))
		if err != nil {
			b.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := writeStream(file, snap.(*snapshot).view, snap.(*snapshot).applied, nil)
			snap.Release()
			done <- err
		}()
		report("beside", laps(func() bool { return len(done) > 0 }))
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		report("behind", laps(within(3*time.Second)))
		file.Close()
	}
}
