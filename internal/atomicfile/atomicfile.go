// Package atomicfile replaces files so that a crash at any moment leaves the old content or the new
// one, whole, and never a mixture.
//
// The order: a temporary file in the same directory is written and fsynced, then renamed over the
// path, then the directory is fsynced. Without the first fsync a power loss may leave an empty file
// under the final name; without the second the rename itself may be lost. A crash before the rename
// leaves a file named ".<name>.tmp-<random>", which nobody reads.
package atomicfile

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// permDefault is for keys, tokens and state: the owner only.
const permDefault os.FileMode = 0o600

// Write makes data the content of the file at path, with permissions perm (0 = 0600). The directory
// must exist. A symbolic link at path is replaced, not followed; a device, a pipe or a directory is an error. On an error before the rename the old
// file is untouched and nothing is left behind; if only the last fsync fails, the new content is
// in place but may not outlive a power loss.
func Write(path string, data []byte, perm os.FileMode) error {
	return WriteFunc(path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteFunc is Write for content too large to hold in memory: fill writes it. An error of fill
// abandons the file and is returned wrapped.
func WriteFunc(path string, perm os.FileMode, fill func(io.Writer) error) error {
	if perm == 0 {
		perm = permDefault
	}
	// Renaming over /dev/null or a pipe would take it away from everybody.
	if st, err := os.Lstat(path); err == nil && !st.Mode().IsRegular() && st.Mode()&os.ModeSymlink == 0 {
		return fmt.Errorf("write %q: it is there, and is no file", path)
	}
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	tmp, err := os.CreateTemp(dir, "."+base+".tmp-*")
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	renamed := false
	defer func() {
		if !renamed {
			_ = tmp.Close() // a second close is harmless; the first error is the one reported
			_ = os.Remove(tmp.Name())
		}
	}()
	if err := fillAndSync(tmp, perm, fill); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	renamed = true
	if err := SyncDir(dir); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return nil
}

func fillAndSync(f *os.File, perm os.FileMode, fill func(io.Writer) error) error {
	if err := f.Chmod(perm); err != nil && runtime.GOOS != "windows" {
		return err
	}
	if err := fill(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// SyncDir makes creations, renames and removals in dir durable. Windows has no such call and needs none.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("sync directory %q: %w", dir, err)
	}
	return nil
}
