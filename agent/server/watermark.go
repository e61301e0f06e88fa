package server

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"

	"github.com/debros/debros/structs"
)

const (
	// watermarkTick is how often a server looks at its disk, and the leader asks the others what they saw.
	watermarkTick = time.Second
	// roomRemembered is for how long an answer counts: one that is lost does not take a server's room away.
	roomRemembered = 5 * time.Second
	// diskFreeMinMax bounds the bound that is made of the size of the disk.
	diskFreeMinMax = 1 << 30
)

// watermark knows whether this server's disk has room, and on the leader whether enough of the voters have.
type watermark struct {
	low     atomic.Bool
	free    atomic.Int64           // bytes; 0 = not measured
	refusal atomic.Pointer[string] // the servers without room, while this one leads and they are too many; nil = writes go on

	mu   sync.Mutex             // protects the following
	seen map[structs.NodeID]saw // what the voters said last; the leader's
}

// saw is what a server said of its disk.
type saw struct {
	at  time.Time
	low bool
}

// room is what a file system has, in bytes: in all, and for whoever is not root.
type room struct{ size, free uint64 }

// watchDisk looks at the disk until ctx ends, and sets:
//
//	debros.disk.free_bytes  room for data on this server's disk
//	debros.disk.low         1: it is below limits.disk_free_bytes_min
func (s *Server) watchDisk(ctx context.Context) {
	if s.cfg.DataDir == "" || s.cfg.Dev {
		return
	}
	tick := time.NewTicker(watermarkTick)
	defer tick.Stop()
	failed := ""
	for {
		have, err := s.cfg.statfs(s.cfg.DataDir)
		switch {
		case err == nil:
			failed = ""
			s.noteRoom(have)
		case err.Error() != failed: // what it was stays in force
			failed = err.Error()
			s.log.Warn("the room on the disk cannot be measured", "directory", s.cfg.DataDir, "error", err)
		}
		s.askForRoom(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// noteRoom compares the room with the bound. Once below, it must come a tenth above it before that ends, or a server at the
// bound would take and refuse writes by turns.
func (s *Server) noteRoom(have room) {
	bound := s.cfg.diskBound(have.size)
	was := s.water.low.Load()
	low := have.free < bound || was && have.free < bound+bound/10
	s.water.free.Store(int64(have.free))
	s.water.low.Store(low)
	switch {
	case low && !was:
		s.log.Error("the disk of this server is nearly full: make room. It stops when nothing is left, and writes are refused while no majority of the servers has room",
			"directory", s.cfg.DataDir, "free_bytes", have.free, "limits.disk_free_bytes_min", bound)
	case was && !low:
		s.log.Info("the disk of this server has room again", "directory", s.cfg.DataDir, "free_bytes", have.free)
	}
	v := float32(0)
	if low {
		v = 1
	}
	metrics.SetGauge([]string{"disk", "free_bytes"}, float32(have.free))
	metrics.SetGauge([]string{"disk", "low"}, v)
}

// diskBound is how much must be free on a disk of that size, 0 = no bound.
func (c *Config) diskBound(size uint64) uint64 {
	if c.DiskFreeMin >= 0 {
		return uint64(c.DiskFreeMin)
	}
	return min(size/50, diskFreeMinMax)
}

// askForRoom has the leader ask all voters, and decide.
func (s *Server) askForRoom(ctx context.Context) {
	if !s.IsLeader() {
		s.water.refusal.Store(nil) // another decides
		return
	}
	conf, err := s.configuration()
	if err != nil {
		return // Raft is stopping
	}
	var voters []structs.NodeID
	var wg sync.WaitGroup
	for _, srv := range conf.Servers {
		if srv.Suffrage != raft.Voter {
			continue
		}
		id, addr := structs.NodeID(srv.ID), s.addressOf(srv)
		voters = append(voters, id)
		wg.Go(func() {
			if st, err := s.statsOf(ctx, id, addr); err == nil { // a build that knows no watermark says "not low"
				s.water.note(id, saw{time.Now(), st.DiskLow})
			}
		})
	}
	wg.Wait()
	s.decideRoom(voters, time.Now())
}

func (w *watermark) note(id structs.NodeID, what saw) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen = map[structs.NodeID]saw{}
	}
	w.seen[id] = what
}

// judge names the voters that are low, and reports whether a majority of all answers and has room.
func (w *watermark) judge(voters []structs.NodeID, now time.Time) (low []structs.NodeID, enough bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	have := 0
	for _, id := range voters {
		switch what, ok := w.seen[id]; {
		case !ok || now.Sub(what.at) > roomRemembered: // nobody to acknowledge a write
		case what.low:
			low = append(low, id)
		default:
			have++
		}
	}
	return low, have > len(voters)/2
}

// decideRoom refuses writes while those servers that have room are no majority. Servers that do not answer have none, but are
// no reason by themselves: without a majority that answers Raft takes nothing anyhow.
func (s *Server) decideRoom(voters []structs.NodeID, now time.Time) {
	low, enough := s.water.judge(voters, now)
	if len(low) == 0 || enough {
		if s.water.refusal.Swap(nil) != nil {
			s.log.Info("writes are taken again: a majority of the servers has room on its disk")
		}
		return
	}
	names := make([]string, 0, len(low))
	for _, id := range low {
		name := string(id)
		if m, ok := s.member(id); ok {
			name = m.Name
		}
		names = append(names, name)
	}
	slices.Sort(names)
	who := strings.Join(names, ", ")
	if s.water.refusal.Swap(&who) == nil {
		s.log.Error("writes are refused: no majority of the servers has room on its disk; what deletes is still taken", "low", who)
	}
}

// mayGrow refuses what needs room while the disks of too many servers are nearly full.
func (s *Server) mayGrow(t structs.CommandType, body any) error {
	if s.water.refusal.Load() == nil || !needsRoom(t, body) {
		return nil
	}
	return s.hasRoom()
}

// hasRoom is the refusal in force.
func (s *Server) hasRoom() error {
	who := s.water.refusal.Load()
	if who == nil {
		return nil
	}
	return structs.Errorf(structs.KindQuota, "the disk is nearly full on %s: writes are refused before nothing is left", *who).
		WithHint("make room on the disk of %s, or lower limits.disk_free_bytes_min there; deletes and drops are still taken", *who)
}
