package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// replicaGuard stands between Raft and the FSM of a server whose state may turn out wrong: no snapshot is taken of
// such a state, and a right one comes in its place without harm to the log.
type replicaGuard struct {
	quarantine   *quarantine
	snapshotting *snapshotCount
	comparer     *comparer
	running      func() bool // Raft has started: what is restored now comes from the leader, not from this server's disk
}

// snapshot refuses to write a wrong state down, and counts those that are being written.
func (g *replicaGuard) snapshot(take func() (raft.FSMSnapshot, error)) (raft.FSMSnapshot, error) {
	g.snapshotting.add(1) // first: who waits for idle is in quarantine by then
	done := sync.OnceFunc(func() { g.snapshotting.add(-1) })
	if why := g.quarantine.reason(); why != "" {
		done()
		return nil, fmt.Errorf("no snapshot is taken of a state that is wrong: %s", why)
	}
	snap, err := take()
	if err != nil {
		done()
		return nil, err
	}
	return &countedSnapshot{FSMSnapshot: snap, done: done}, nil
}

// countedSnapshot says when Raft is done with it: it releases it last of all.
type countedSnapshot struct {
	raft.FSMSnapshot
	done func()
}

// Release implements raft.FSMSnapshot.
func (s *countedSnapshot) Release() {
	s.FSMSnapshot.Release()
	s.done()
}

// mayRestore looks, before a state is replaced that is wrong, whether Raft would do so without harm. Raft installs a snapshot
// for a follower that is behind, and takes the configuration from it. This follower is not behind: its log goes on after
// the snapshot, and a configuration that stands there would be forgotten until the next start. (Raft's main loop
// waits for the restore, so the log stays as it is meanwhile.)
func (g *replicaGuard) mayRestore(index uint64, logs raft.LogStore) error {
	if g.quarantine.reason() == "" || !g.running() {
		return nil
	}
	last, err := logs.LastIndex()
	if err != nil {
		return fmt.Errorf("find the end of the raft log: %w", err)
	}
	for i := index + 1; i <= last; i++ {
		var l raft.Log
		switch err := logs.GetLog(i, &l); {
		case errors.Is(err, raft.ErrLogNotFound):
		case err != nil:
			return fmt.Errorf("read the raft log: %w", err)
		case l.Type == raft.LogConfiguration:
			return fmt.Errorf("the raft configuration has changed, at index %d, after the snapshot that was to be installed", i)
		}
	}
	return nil
}

// restored is told that another state came in the place of one that stood at index.
func (g *replicaGuard) restored(index uint64) {
	g.comparer.forget()
	if g.running() {
		g.quarantine.noteReplaced(index)
	}
}

// snapshotCount is how many snapshots are being written.
type snapshotCount struct {
	// mu protects the following.
	mu sync.Mutex
	n  int
}

func (c *snapshotCount) add(d int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += d
}

// idle waits until none is.
func (c *snapshotCount) idle(ctx context.Context) error {
	for {
		c.mu.Lock()
		n := c.n
		c.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
