// Package fsm applies committed Raft log entries to a state.Store, and turns the store into a snapshot
// stream and back.
//
// Contract: it is a shim. It decodes entries, hands each command to the method of state.Txn that is
// named for it, and knows no rule of what a command may do. One entry is one transaction of the store,
// so readers see whole entries only, and the store's index is the entry's. It reads no clock, chance or
// environment: equal logs give equal stores, byte for byte in their snapshot streams (of databases: row for row).
//
// The package owns two formats: log entries (entry.go) and snapshot streams (record.go). Both carry a
// version and checksums. What is in a log has been agreed on by a majority: an entry that cannot be
// decoded, or whose command this build does not know, cannot be skipped without forking the replicas,
// so the server panics.
package fsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// FSM implements raft.BatchingFSM. Raft calls Apply, ApplyBatch, Snapshot and Restore from one
// goroutine; the other methods are for any.
type FSM struct {
	store   *state.Store
	logger  *slog.Logger
	applied applied
	onFault func(error)
	written snapshotBytes
	compare func(pin func() *Pinned) // nil: nobody compares
	fault   error                    // set once, by the goroutine that applies: nothing is applied after it
}

var _ raft.BatchingFSM = (*FSM)(nil)

// New makes an FSM over a store, commonly an empty one, and goes on after the store's index. logger may be nil.
func New(store *state.Store, logger *slog.Logger) *FSM {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	f := &FSM{store: store, logger: logger}
	f.applied.set(store.Index())
	return f
}

// OnFault sets what is told, once, that this server's own disk kept it from applying an entry which the others may
// have applied. The FSM then stands still at the entry before: whatever it answered would fork the replicas. It is
// set before Raft starts; without it the FSM panics.
func (f *FSM) OnFault(tell func(error)) { f.onFault = tell }

// Store is the store that entries are applied to; it is the same one for the FSM's whole life.
func (f *FSM) Store() *state.Store { return f.store }

// AppliedIndex is the Raft index of the last command or configuration whose effect the store shows; 0
// before the first. Raft's no-ops and barriers never reach an FSM, so this stays behind
// raft.AppliedIndex until a command follows them. It falls only when Restore brings an older state.
func (f *FSM) AppliedIndex() uint64 { return f.applied.get() }

// WaitApplied returns nil as soon as AppliedIndex has reached index, or ctx's error. It costs one
// atomic load when that is so already.
func (f *FSM) WaitApplied(ctx context.Context, index uint64) error { return f.applied.wait(ctx, index) }

// Apply implements raft.FSM.
func (f *FSM) Apply(l *raft.Log) any { return f.apply(l) }

// ApplyBatch implements raft.BatchingFSM. The response to a command entry is a []structs.CommandResult
// with one result per command; after a fault of this server an error; to anything else nil.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	responses := make([]any, len(logs))
	for i, l := range logs {
		responses[i] = f.apply(l)
	}
	return responses
}

func (f *FSM) apply(l *raft.Log) any {
	if l.Index <= f.applied.get() {
		// A restored snapshot already holds it. Applying it again would not be the same twice.
		f.logger.Debug("skipped an entry that the state already holds", "index", l.Index, "applied", f.applied.get())
		return nil
	}
	if f.fault != nil {
		return f.fault
	}
	var response any
	if l.Type == raft.LogCommand {
		results, err := f.applyEntry(l)
		if err != nil {
			return f.fail(l, err)
		}
		response = results
		if f.compare != nil && asksForComparison(results) {
			f.compare(f.pin)
		}
	}
	f.applied.set(l.Index) // after the commit: who waited for the index must find it in the store
	return response
}

// fail stands still for good.
func (f *FSM) fail(l *raft.Log, err error) error {
	f.fault = fmt.Errorf("apply entry %d of term %d: %w", l.Index, l.Term, err)
	if f.onFault == nil {
		panic("fsm: " + f.fault.Error())
	}
	f.onFault(f.fault)
	return f.fault
}

// applyEntry panics where no server of this build can apply the entry; its error is a fault of this one's disk.
func (f *FSM) applyEntry(l *raft.Log) ([]structs.CommandResult, error) {
	e, err := DecodeEntry(l.Data)
	if err != nil {
		panic(fmt.Sprintf("fsm: committed entry %d of term %d: %v", l.Index, l.Term, err))
	}
	tx := f.store.Begin(structs.Stamp{Index: l.Index, Time: time.Unix(0, e.Time), Seed: e.Seed})
	defer tx.Abort() // does nothing after the commit
	results := make([]structs.CommandResult, len(e.Commands))
	for i := range e.Commands {
		results[i], err = applyCommand(tx, &e.Commands[i])
		var fault *localFault
		if errors.As(err, &fault) {
			return nil, err
		}
		if err != nil {
			panic(fmt.Sprintf("fsm: committed entry %d of term %d, command %d: %v", l.Index, l.Term, i, err))
		}
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	return results, nil
}

// Snapshot implements raft.FSM: it takes an immutable view, which costs next to nothing.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	if f.fault != nil {
		return nil, f.fault
	}
	return &snapshot{view: f.store.Snapshot(), applied: f.applied.get(), logger: f.logger, written: &f.written}, nil
}

// SnapshotBytes is how much snapshots have written so far; files that they share with earlier ones do not count.
func (f *FSM) SnapshotBytes() int64 { return f.written.total.Load() }

// RowBytes is the size of the newest snapshot without databases.
func (f *FSM) RowBytes() int64 { return f.written.rows.Load() }

// Restore implements raft.FSM: it replaces the store by a snapshot stream, all at once, and only when
// the whole stream was found good. Otherwise the store stays as it is. The caller closes r.
func (f *FSM) Restore(r io.ReadCloser) error { return f.RestoreLocal(Local{Stream: r}) }

// RestoreLocal is Restore for a local stream.
func (f *FSM) RestoreLocal(from Local) error { return f.restore(from, f.store.Restore) }

// ResumeLocal is RestoreLocal for a start whose databases were left behind: see state.Store.Resume.
func (f *FSM) ResumeLocal(from Local) error { return f.restore(from, f.store.Resume) }

func (f *FSM) restore(from Local, into func(func(*state.Restorer) error) error) error {
	var s Summary
	err := into(func(to *state.Restorer) (err error) {
		s, err = readStream(from, &loader{to: to, snapshot: from.ID})
		return err
	})
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	f.applied.set(s.Index)
	f.written.rows.Store(s.rowBytes)
	f.logger.Info("restored a snapshot", "index", s.Index, "bytes", s.SizeBytes, "rows", s.Counts)
	return nil
}
