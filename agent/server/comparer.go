package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/debros/debros/internal/version"
	"github.com/debros/debros/state"
	"github.com/debros/debros/state/fsm"
	"github.com/debros/debros/state/sqldb"
	"github.com/debros/debros/structs"
)

const (
	// resultsKept is how many comparisons a server remembers: the one that is made, and those that a slow one asks for.
	resultsKept = 4
	// hashStretch is how long hashing goes on before it rests for as long: half of one processor, and half of a disk.
	hashStretch = 10 * time.Millisecond
)

// comparer hashes this server's state where the log asks for it, one entry at a time, in the background, and remembers
// what came of it.
type comparer struct {
	log *slog.Logger
	// replayed is the last entry that the log had when this process began: up to there the log is applied again, and
	// nobody waits for what it says.
	replayed atomic.Uint64
	wake     chan struct{} // capacity 1: there is work

	// mu protects the following.
	mu      sync.Mutex
	waiting *fsm.Pinned            // the next to be hashed; a newer one takes its place
	results []*structs.ReplicaHash // the oldest first; a result is replaced, never changed
	floor   uint64                 // results up to here are of a state that was replaced
	changed chan struct{}          // closed and made anew when a result changes
}

func newComparer(log *slog.Logger) *comparer {
	return &comparer{log: log, wake: make(chan struct{}, 1), changed: make(chan struct{})}
}

// note is told by the FSM that an entry asks for a comparison. It does not block.
func (c *comparer) note(pin func() *fsm.Pinned) {
	p := pin()
	if p.Index <= c.replayed.Load() {
		p.Release()
		return
	}
	c.mu.Lock()
	late := c.waiting
	c.waiting = p
	if late != nil {
		c.setLocked(&structs.ReplicaHash{At: late.Index, State: structs.ReplicaFailed, Error: "a later comparison began before this server came to it"})
	}
	c.setLocked(&structs.ReplicaHash{At: p.Index, Time: p.Time, State: structs.ReplicaWaiting})
	c.mu.Unlock()
	if late != nil {
		late.Release()
	}
	poke(c.wake)
}

// setLocked puts a result in the place of the one before.
func (c *comparer) setLocked(r *structs.ReplicaHash) {
	r.Format, r.Build = fsm.HashFormat(), version.Version()
	if r.At <= c.floor || len(c.results) == resultsKept && r.At < c.results[0].At {
		return // it was given up
	}
	at := slices.IndexFunc(c.results, func(have *structs.ReplicaHash) bool { return have.At == r.At })
	if at < 0 {
		c.results = append(c.results, r)
		c.results = c.results[max(0, len(c.results)-resultsKept):]
	} else {
		c.results[at] = r
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *comparer) set(r *structs.ReplicaHash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setLocked(r)
}

// forget drops all results: the state that they are of was replaced.
func (c *comparer) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.results); n > 0 {
		c.floor, c.results = c.results[n-1].At, nil
	}
}

// latest is the newest entry that asked for a comparison and its time; nil for none.
func (c *comparer) latest() *structs.ReplicaHash {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.results) == 0 {
		return nil
	}
	return c.results[len(c.results)-1]
}

// result is what is known of a comparison now, with a channel that is closed when that changes.
func (c *comparer) result(at uint64) (structs.ReplicaHash, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.results {
		if r.At == at {
			return *r, c.changed
		}
	}
	return structs.ReplicaHash{At: at, State: structs.ReplicaAbsent, Format: fsm.HashFormat(), Build: version.Version()}, c.changed
}

// await is result once it is final, or when wait or ctx is over.
func (c *comparer) await(ctx context.Context, at uint64, wait time.Duration) structs.ReplicaHash {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		r, changed := c.result(at)
		if r.State == structs.ReplicaDone || r.State == structs.ReplicaFailed {
			return r
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return r
		}
	}
}

// run hashes what note brings until ctx ends.
func (c *comparer) run(ctx context.Context) {
	defer func() {
		if p := c.next(); p != nil {
			p.Release()
		}
	}()
	for {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return
		}
		if p := c.next(); p != nil {
			c.hash(ctx, p)
			p.Release()
		}
	}
}

func (c *comparer) next() *fsm.Pinned {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.waiting
	c.waiting = nil
	return p
}

// hash works on one comparison.
func (c *comparer) hash(ctx context.Context, p *fsm.Pinned) {
	began := time.Now()
	r := structs.ReplicaHash{At: p.Index, Time: p.Time, State: structs.ReplicaHashing}
	show := func() {
		now := r
		if now.Took = time.Since(began); now.State == structs.ReplicaHashing {
			now.Parts = nil // they still grow
		}
		c.set(&now)
	}
	if err := c.hashParts(ctx, p, &r, show); err != nil {
		if ctx.Err() == nil {
			c.log.Warn("this server could not say what it holds, for the comparison of the replicas", "index", p.Index, "error", err)
		}
		r.State, r.Error = structs.ReplicaFailed, err.Error()
		show()
		return
	}
	sum := sha256.New()
	for _, part := range r.Parts {
		fmt.Fprintf(sum, "%s %s %s\n", part.Name, part.Hash, part.Damage)
		r.Damaged = r.Damaged || part.Damage != ""
	}
	r.State, r.Hash = structs.ReplicaDone, hex.EncodeToString(sum.Sum(nil))
	show()
	c.log.Debug("hashed the state for the comparison of the replicas", "index", p.Index, "hash", r.Hash, "databases", r.Databases, "took", time.Since(began))
}

// hashParts fills r; its error says that this server has no answer, which is not that its state is wrong.
func (c *comparer) hashParts(ctx context.Context, p *fsm.Pinned, r *structs.ReplicaHash, show func()) error {
	rest := rester(ctx)
	if err := p.Databases(func(*structs.SQLDatabase) error { r.Databases++; return ctx.Err() }); err != nil {
		return err
	}
	show()
	err := p.Tables(rest, func(name, hash string) {
		r.Parts = append(r.Parts, structs.ReplicaPart{Name: "table " + name, Hash: hash})
	})
	if err != nil {
		return err
	}
	return p.Databases(func(d *structs.SQLDatabase) error {
		part := structs.ReplicaPart{Name: fmt.Sprintf("database %s of namespace %s", d.Name, d.Namespace)}
		hash, err := p.Database(ctx, d, rest)
		switch {
		case err == nil:
			part.Hash = hash
		case ctx.Err() != nil:
			return errStopping()
		case errors.Is(err, state.ErrReplaced), errors.Is(err, state.ErrAhead):
			return err
		case sqldb.Damaged(err):
			c.log.Error("a database of this server is damaged", "database", d.Name, "namespace", d.Namespace, "error", err)
			part.Damage = err.Error()
		default:
			return err
		}
		r.Parts = append(r.Parts, part)
		r.DatabasesDone++
		show()
		return nil
	})
}

// rester is a function that sleeps after each hashStretch for as long as that took.
func rester(ctx context.Context) func() {
	began := time.Now()
	return func() {
		busy := time.Since(began)
		if busy < hashStretch {
			return
		}
		select {
		case <-time.After(min(busy, 5*hashStretch)):
		case <-ctx.Done():
		}
		began = time.Now()
	}
}
