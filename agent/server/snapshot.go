package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
	tmp, err := os.CreateTemp(o.s.cfg.DataDir, "restore-*.tmp")
	if err != nil {
		return 0, fmt.Errorf("make room for the archive: %w", err)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	meta, err := o.s.readArchive(r, tmp)
	if err != nil {
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
	o.s.log.Warn("the state of the cluster was replaced by a snapshot", "snapshot", meta.ID, "index", index)
	return index, nil
}

// readArchive writes the state in the archive to out, as the state of this cluster, after it decoded
// all of it. A cluster keeps its id whatever it restores: a backup of another one brings data, not
// who that cluster is.
func (s *Server) readArchive(r io.Reader, out *os.File) (archive.Meta, error) {
	tmp, err := os.CreateTemp(s.cfg.DataDir, "restore-*.tmp")
	if err != nil {
		return archive.Meta{}, fmt.Errorf("make room for the archive: %w", err)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	meta, err := archive.Read(r, tmp)
	if err != nil {
		return meta, structs.Errorf(structs.KindInvalid, "the snapshot archive is damaged: %v", err).WithHint("nothing was changed; check it with `debros snapshot inspect`")
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return meta, err
	}
	_, own := s.store.Cluster(nil)
	sum, err := fsm.CopyForCluster(out, tmp, own)
	if err == nil && sum.Index > meta.Index {
		// Raft goes on at Meta.Index + 1; entries at or below the state's index would be taken for replays.
		err = fmt.Errorf("%w: its index %d is above the archive's, %d", fsm.ErrSnapshot, sum.Index, meta.Index)
	}
	if errors.Is(err, fsm.ErrSnapshot) {
		err = structs.Errorf(structs.KindInvalid, "the state in the snapshot archive is damaged: %v", err).WithHint("nothing was changed; check it with `debros snapshot inspect`")
	}
	return meta, err
}

func sortByName(servers []structs.ServerHealth) {
	sort.Slice(servers, func(i, j int) bool { return strings.Compare(servers[i].Name, servers[j].Name) < 0 })
}
