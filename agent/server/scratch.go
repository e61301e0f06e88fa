package server

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

const (
	// memoryDir is where Linux keeps files in memory.
	memoryDir     = "/dev/shm"
	scratchPrefix = "debros-dev-"
	scratchLock   = "lock"
)

// scratch is a directory for the life of one process, in memory where the system has a place for that. Its lock is
// held while the process lives, so that the next one can tell what a killed one has left.
type scratch struct {
	path string
	lock *flock.Flock
}

func newScratch() (*scratch, error) {
	s, err := newScratchIn(memoryDir)
	if err != nil {
		s, err = newScratchIn(os.TempDir())
	}
	return s, err
}

// newScratchIn locks the directory before it gets the name that sweepScratch looks for.
func newScratchIn(parent string) (_ *scratch, err error) {
	sweepScratch(parent)
	dir, err := os.MkdirTemp(parent, ".debros-new-")
	if err != nil {
		return nil, err
	}
	s := &scratch{path: dir, lock: flock.New(filepath.Join(dir, scratchLock))}
	defer func() {
		if err != nil {
			_ = s.remove()
		}
	}()
	if ok, err := s.lock.TryLock(); err != nil || !ok {
		return nil, fmt.Errorf("lock %s: %v", dir, err)
	}
	name := filepath.Join(parent, scratchPrefix+filepath.Base(dir)[len(".debros-new-"):])
	if err := os.Rename(dir, name); err != nil {
		return nil, err
	}
	s.path = name
	return s, nil
}

// sweepScratch removes what killed processes have left. What it may not touch, or what is in use, it leaves.
func sweepScratch(parent string) {
	all, err := filepath.Glob(filepath.Join(parent, scratchPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range all {
		lock := flock.New(filepath.Join(dir, scratchLock))
		if ok, err := lock.TryLock(); err == nil && ok {
			_ = os.RemoveAll(dir)
		}
		_ = lock.Close()
	}
}

// remove ends it; nil and twice are fine.
func (s *scratch) remove() error {
	if s == nil {
		return nil
	}
	err := os.RemoveAll(s.path)
	_ = s.lock.Close()
	return err
}
