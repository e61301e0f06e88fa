package server

import (
	"fmt"
	"os"
	"path/filepath"
)

// memoryDir is where Linux keeps files in memory.
const memoryDir = "/dev/shm"

// openDatabases lets the store keep databases: below the data directory, or, for a server that keeps nothing, in a
// directory of its own that is in memory where the system has such a place. It is the same code and the same kind of file
// both ways, so that what was tried with -dev holds in production.
func (s *Server) openDatabases() error {
	s.fsm.OnFault(s.fail)
	if s.cfg.DataDir != "" {
		return s.store.OpenDatabases(filepath.Join(s.cfg.DataDir, "sql"))
	}
	parent := ""
	if info, err := os.Stat(memoryDir); err == nil && info.IsDir() {
		parent = memoryDir
	}
	dir, err := os.MkdirTemp(parent, "debros-dev-")
	if err != nil && parent != "" {
		dir, err = os.MkdirTemp("", "debros-dev-")
	}
	if err != nil {
		return fmt.Errorf("make a directory for databases: %w", err)
	}
	s.scratch = dir
	return s.store.OpenDatabases(filepath.Join(dir, "sql"))
}

// closeDatabases is called by Close, once the last entry has been applied.
func (s *Server) closeDatabases() error {
	err := s.store.CloseDatabases()
	if s.scratch != "" {
		if e := os.RemoveAll(s.scratch); err == nil {
			err = e
		}
	}
	return err
}
