package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/internal/version"
	"github.com/debros/debros/state/archive"
	"github.com/debros/debros/state/fsm"
	"github.com/debros/debros/structs"
)

// restoreTimeout bounds the hand-over of a restored state to Raft.
const restoreTimeout = 10 * time.Minute

// SnapshotSave implements rpc.RaftOps.
func (o raftOps) SnapshotSave(_ context.Context, w io.Writer) error {
	meta, rc, err := o.s.takeSnapshot()
	if err != nil {
		return err
	}
	defer rc.Close()
	return archive.Write(w, archive.Meta{
		ID: meta.ID, Index: meta.Index, Term: meta.Term, CreatedAt: time.Now().UTC(),
		NodeID: string(o.s.cfg.NodeID), Node: o.s.cfg.NodeName, Build: version.Version(), SizeBytes: meta.Size,
	}, rc)
}

// takeSnapshot asks Raft for a snapshot of now; when nothing changed since the last, that one serves.
func (s *Server) takeSnapshot() (*raft.SnapshotMeta, io.ReadCloser, error) {
	f := s.raft.Snapshot()
	err := f.Error()
	if err == nil {
		return f.Open()
	}
	if err != raft.ErrNothingNewToSnapshot {
		return nil, nil, fmt.Errorf("take a snapshot: %w", err)
	}
	list, err := s.snaps.List()
	if err != nil || len(list) == 0 {
		return nil, nil, structs.Errorf(structs.KindUnavailable, "there is nothing to save yet")
	}
	return s.snaps.Open(list[0].ID)
}

// SnapshotRestore implements rpc.RaftOps. Nothing is proposed before the whole archive was read,
// its sums compared and every record decoded.
func (o raftOps) SnapshotRestore(ctx context.Context, r io.Reader) (uint64, error) {
	if !o.s.IsLeader() {
		return 0, errNotLeader()
	}
	if err := o.s.hasRoom(); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp(o.s.cfg.DataDir, restorePattern)
	if err != nil {
		return 0, fmt.Errorf("make room for the archive: %w", err)
	}
	defer os.RemoveAll(dir)
	tmp, err := os.Create(filepath.Join(dir, "state"))
	if err != nil {
		return 0, fmt.Errorf("make room for the archive: %w", err)
	}
	defer tmp.Close()
	meta, needs, err := o.s.readArchive(r, tmp, dir)
	if err != nil {
		return 0, err
	}
	if err := o.s.mayRestore(needs); err != nil {
		return 0, err
	}
	size, err := tmp.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	sm := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, ID: meta.ID, Index: meta.Index, Term: meta.Term, Size: size}
	if err := o.s.raft.Restore(sm, tmp, restoreTimeout); err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	// Raft ends a restore with an entry that no FSM sees; one that it does see lets every server
	// tell that it has caught up (linearizable reads wait for it).
	// It is proposed even if the caller has hung up.
	poke(o.s.reloadCh)
	poke(o.s.reconcileCh)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.s.cfg.HoldTimeout)
	defer cancel()
	_, index, err := o.s.apply(ctx, structs.CommandNone, &struct{}{})
	if err != nil {
		o.s.log.Error("a snapshot was restored, but not confirmed", "snapshot", meta.ID, "error", err)
		return 0, structs.Errorf(structs.KindUnknownResult, "the snapshot was restored on the leader, but leadership was lost before all servers confirmed it").
			WithHint("look at the data, and restore again if it is not there")
	}
	if err := o.s.dropUploads(ctx); err != nil { // the next leader does it
		o.s.log.Warn("uploads of databases that the snapshot holds were not dropped", "snapshot", meta.ID, "error", err)
	}
	o.s.log.Warn("the state of the cluster was replaced by a snapshot", "snapshot", meta.ID, "index", index)
	return index, nil
}

// errStateRefused ends the reading of an archive whose state is of no use.
var errStateRefused = errors.New("the state was refused")

// readArchive writes the state in the archive to out, as the state of this cluster, after it decoded
// all of it, and says which FSM version can hold it. A cluster keeps its id whatever it restores: a backup of another one brings data, not
// who that cluster is. The state is on the disk once; databases are checked one at a time, in dir.
func (s *Server) readArchive(r io.Reader, out io.Writer, dir string) (meta archive.Meta, needs int, err error) {
	state, w := io.Pipe()
	var damage error
	done := make(chan struct{})
	go func() {
		defer close(done)
		meta, damage = archive.Read(r, w)
		_ = w.CloseWithError(damage) // it returns no error; without damage the state ends here
	}()
	_, own := s.store.Cluster(nil)
	sum, err := fsm.CopyForCluster(out, state, own, dir)
	_ = state.CloseWithError(errStateRefused) // as above; after the end nobody notices
	<-done
	if damage != nil && !errors.Is(damage, errStateRefused) {
		return meta, 0, structs.Errorf(structs.KindInvalid, "the snapshot archive is damaged: %v", damage).WithHint("nothing was changed; check it with `debros snapshot inspect`")
	}
	if err == nil && sum.Index > meta.Index {
		// Raft goes on at Meta.Index + 1; entries at or below the state's index would be taken for replays.
		err = fmt.Errorf("%w: its index %d is above the archive's, %d", fsm.ErrSnapshot, sum.Index, meta.Index)
	}
	if errors.Is(err, fsm.ErrSnapshot) {
		err = structs.Errorf(structs.KindInvalid, "the state in the snapshot archive is damaged: %v", err).WithHint("nothing was changed; check it with `debros snapshot inspect`")
	}
	return meta, sum.FSMVersion, err
}

// restorePattern names the directories of restores under way.
const restorePattern = "restore-*.tmp"

// sweepRestores removes what a crash has left of restores.
func (s *Server) sweepRestores() error {
	if s.cfg.DataDir == "" {
		return nil
	}
	left, err := filepath.Glob(filepath.Join(s.cfg.DataDir, restorePattern))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		return fmt.Errorf("remove what is left of a restore: %w", err)
	}
	return nil
}

func sortByName(servers []structs.ServerHealth) {
	sort.Slice(servers, func(i, j int) bool { return strings.Compare(servers[i].Name, servers[j].Name) < 0 })
}
