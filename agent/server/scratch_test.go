package server

import (
	"os"
	"path/filepath"
	"testing"
)

func TestScratchOfAKilledProcessIsSwept(t *testing.T) {
	parent := t.TempDir()
	left := filepath.Join(parent, scratchPrefix+"left")
	if err := os.MkdirAll(filepath.Join(left, "sql"), 0o700); err != nil {
		t.Fatal(err)
	}
	mine, err := newScratchIn(parent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what a killed process left is still there: %v", err)
	}
	other, err := newScratchIn(parent)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*scratch{mine, other} {
		if _, err := os.Stat(s.path); err != nil {
			t.Errorf("a directory in use was swept: %v", err)
		}
		if err := s.remove(); err != nil {
			t.Error(err)
		}
		if err := s.remove(); err != nil {
			t.Errorf("the second time: %v", err)
		}
	}
	if left, _ := os.ReadDir(parent); len(left) != 0 {
		t.Errorf("%d entries are left", len(left))
	}
}
