package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hashicorp/raft"
)

// openDatabases lets the store keep databases: below the data directory, or, for a server that keeps nothing, in a
// directory of its own that is in memory where the system has such a place. It is the same code and the same kind of file
// both ways, so that what was tried with -dev holds in production.
func (s *Server) openDatabases() error {
	s.fsm.OnFault(s.databaseFault)
	s.store.FailFiles(s.cfg.failFiles)
	if s.cfg.DataDir != "" {
		return s.store.OpenDatabases(s.databasesDir(), bootID())
	}
	dir, err := newScratch()
	if err != nil {
		return fmt.Errorf("make a directory for databases: %w", err)
	}
	s.scratch = dir
	return s.store.OpenDatabases(filepath.Join(dir.path, "sql"), "")
}

// databaseFault stops the server, which must not answer for what it could not apply, and keeps the next start from
// using the files.
func (s *Server) databaseFault(err error) {
	s.log.Error("a committed entry could not be applied; this server stops so that its state stays that of the others", "error", err)
	s.fail(errors.Join(err, s.distrustAfter(err)))
}

// distrustAfter keeps the next start from using the databases' files after a fault of the disk. That the log had no room
// says nothing about them; that it could not be written does: what SQLite wrote is never synced, so nobody
// would hear that the disk has lost it.
func (s *Server) distrustAfter(fault error) error {
	s.quarantine.fault()
	if errors.Is(fault, syscall.ENOSPC) {
		return nil
	}
	err := s.store.DistrustDatabases()
	if err != nil {
		s.log.Error("the databases could not be marked for being made again: remove the directory before the next start", "directory", s.databasesDir(), "error", err)
	}
	return err
}

// databasesDir is where a server with a data directory keeps databases.
func (s *Server) databasesDir() string { return filepath.Join(s.cfg.DataDir, "sql") }

// bootID names the system's present run; "" where it has no name.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// resume uses the databases that the last process left behind, if they belong to the newest snapshot: only the tables
// are read from it, and entries that a database has already are skipped when Raft applies the log again. Otherwise
// Raft restores everything, as it does without databases. It comes before Raft starts.
func (s *Server) resume(rc *raft.Config) error {
	if s.cfg.DataDir == "" {
		return nil
	}
	list, err := s.snaps.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	id := ""
	if len(list) > 0 {
		id = list[0].ID
	}
	// Files of a server in quarantine may be what is wrong with it.
	if s.quarantine.reason() != "" || !s.store.CanResume(id) {
		return s.store.ForgetDatabases()
	}
	if id == "" {
		return nil
	}
	if err := s.resumeFrom(id); err != nil {
		s.log.Warn("the databases left behind cannot be used and are made again", "snapshot", id, "error", err)
		return s.store.ForgetDatabases()
	}
	rc.NoSnapshotRestoreOnStart = true
	return nil
}

func (s *Server) resumeFrom(id string) error {
	_, r, err := s.snaps.Open(id)
	if err != nil {
		return err
	}
	defer r.Close()
	return s.guardedFSM().Resume(r)
}

// closeDatabases is called by Close, once the last entry has been applied.
func (s *Server) closeDatabases() error {
	err := s.store.CloseDatabases()
	return errors.Join(err, s.scratch.remove())
}
