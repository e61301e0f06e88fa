package atomicfile

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestWriteCreatesPrivateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	if err := Write(path, []byte("one"), 0); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "one", 0o600)
	wantOnly(t, filepath.Dir(path), "node.key")
}

func TestWriteReplacesContentAndPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("a longer old content"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("new"), 0o640); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "new", 0o640)
	wantOnly(t, filepath.Dir(path), "f")
}

// A reader that opens the path at any time sees one whole content.
func TestReadersNeverSeeAMixture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	a, b := strings.Repeat("a", 64<<10), strings.Repeat("b", 96<<10)
	if err := Write(path, []byte(a), 0); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			got, err := os.ReadFile(path)
			if s := string(got); err != nil || s != a && s != b {
				t.Errorf("read %d bytes, %v", len(got), err)
				return
			}
		}
	})
	for i := range 50 {
		if err := Write(path, []byte([]string{b, a}[i%2]), 0); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestFailureLeavesOldFileAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := Write(path, []byte("old"), 0); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	err := WriteFunc(path, 0, func(w io.Writer) error {
		if _, err := io.WriteString(w, "half of the ne"); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("error %v, want boom", err)
	}
	wantFile(t, path, "old", 0o600)
	wantOnly(t, dir, "f")
}

func TestPanicInFillLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = WriteFunc(filepath.Join(dir, "f"), 0, func(io.Writer) error { panic("boom") })
	}()
	wantOnly(t, dir)
}

func TestFailedRenameLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "d")
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("x"), 0); err == nil {
		t.Fatal("a directory was replaced by a file")
	}
	wantOnly(t, dir, "d")
}

func TestMissingDirectoryIsAnError(t *testing.T) {
	err := Write(filepath.Join(t.TempDir(), "no", "f"), []byte("x"), 0)
	if !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("error %v, want not exist", err)
	}
}

func TestRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := Write("f", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	wantFile(t, "f", "x", 0o600)
	wantOnly(t, ".", "f")
}

func wantFile(t *testing.T, path, content string, perm os.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Fatalf("content %q, %v; want %q", got, err, content)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != perm {
		t.Fatalf("mode %v, %v; want %v", info.Mode(), err, perm)
	}
}

func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Fatalf("directory holds %q, want %q", got, names)
	}
}

// Whoever backs up to /dev/null as root must not replace it by a file.
func TestWriteLeavesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	socket, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Skip("SKIPPED: no Unix sockets here")
	}
	defer socket.Close()
	for _, path := range []string{filepath.Join(dir, "s"), dir} {
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(path, []byte("x"), 0); err == nil {
			t.Errorf("%s was written", path)
		}
		if after, err := os.Lstat(path); err != nil || after.Mode() != before.Mode() {
			t.Errorf("%s: %v, %v", path, after, err)
		}
	}
	wantOnly(t, dir, "s")
}
