package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Read checks an archive and copies its state to stateOut. It succeeds only when every member is
// there, once, in order, with its announced size and sum, and nothing follows. What stateOut was given
// before an error must be thrown away. stateOut is given at most Meta.SizeBytes bytes, which the file
// itself announces: a caller with a tighter bound gives a stateOut that refuses.
func Read(r io.Reader, stateOut io.Writer) (Meta, error) {
	m, err := read(&source{r: r}, stateOut)
	if err != nil {
		return Meta{}, fmt.Errorf("read snapshot archive: %w", err)
	}
	return m, nil
}

func read(src *source, stateOut io.Writer) (Meta, error) {
	// gzip reads no byte beyond its end from an io.ByteReader, so what follows can be looked at.
	in := bufio.NewReaderSize(src, 16<<10)
	zr, err := gzip.NewReader(in)
	if err != nil {
		return Meta{}, src.corrupt("gzip header", err)
	}
	zr.Multistream(false)
	tr := tar.NewReader(zr)

	raw, err := small(src, tr, metaName, metaBytesMax)
	if err != nil {
		return Meta{}, err
	}
	m, err := parseMeta(raw)
	if err != nil {
		return Meta{}, err
	}
	stateSum, err := copyState(src, tr, m.SizeBytes, stateOut)
	if err != nil {
		return Meta{}, err
	}
	list, err := small(src, tr, sumsName, sumsBytesMax)
	if err != nil {
		return Meta{}, err
	}
	if !bytes.Equal(list, sums(sha256.Sum256(raw), stateSum)) {
		return Meta{}, fmt.Errorf("%w: checksums differ", ErrCorrupt)
	}
	if err := finish(src, tr, zr, in); err != nil {
		return Meta{}, err
	}
	return m, nil
}

func parseMeta(raw []byte) (Meta, error) {
	var m Meta
	if err := json.Unmarshal(raw, &m); err != nil {
		return Meta{}, fmt.Errorf("%w: %s: %w", ErrCorrupt, metaName, err)
	}
	if err := m.check(); err != nil {
		if errors.Is(err, ErrVersion) {
			return Meta{}, err
		}
		return Meta{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return m, nil
}

// next goes to the member that must come now.
func next(src *source, tr *tar.Reader, name string) (int64, error) {
	h, err := tr.Next()
	if err != nil {
		return 0, src.corrupt("before "+name, err)
	}
	if h.Name != name {
		return 0, fmt.Errorf("%w: member %q where %s must be", ErrCorrupt, h.Name, name)
	}
	if h.Typeflag != tar.TypeReg {
		return 0, fmt.Errorf("%w: %s is not a regular file", ErrCorrupt, name)
	}
	for key := range h.PAXRecords {
		// A sparse member's size says nothing about the bytes behind it. We write none.
		if strings.HasPrefix(key, "GNU.sparse.") {
			return 0, fmt.Errorf("%w: %s is sparse", ErrCorrupt, name)
		}
	}
	return h.Size, nil
}

// small reads a member that is held in memory.
func small(src *source, tr *tar.Reader, name string, sizeBytesMax int64) ([]byte, error) {
	size, err := next(src, tr, name)
	if err != nil {
		return nil, err
	}
	if size > sizeBytesMax {
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d are allowed", ErrCorrupt, name, size, sizeBytesMax)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(tr, data); err != nil {
		return nil, src.corrupt(name, err)
	}
	return data, nil
}

func copyState(src *source, tr *tar.Reader, sizeBytes int64, out io.Writer) (sum [sha256.Size]byte, err error) {
	size, err := next(src, tr, stateName)
	if err != nil {
		return sum, err
	}
	if size != sizeBytes {
		return sum, fmt.Errorf("%w: %s has %d bytes, %s says %d", ErrCorrupt, stateName, size, metaName, sizeBytes)
	}
	hash := sha256.New()
	buf := make([]byte, 1+min(size, 128<<10)) // small for the small, never empty
	for {
		n, rerr := tr.Read(buf)
		hash.Write(buf[:n])
		if _, err := out.Write(buf[:n]); err != nil {
			return sum, fmt.Errorf("store %s: %w", stateName, err) // the archive is not to blame
		}
		if rerr == io.EOF {
			return [sha256.Size]byte(hash.Sum(nil)), nil
		}
		if rerr != nil {
			return sum, src.corrupt(stateName, rerr)
		}
	}
}

// finish makes sure that nothing follows, and makes gzip compare its own checksum.
func finish(src *source, tr *tar.Reader, zr io.Reader, in *bufio.Reader) error {
	if h, err := tr.Next(); err == nil {
		return fmt.Errorf("%w: member %q after the last one", ErrCorrupt, h.Name)
	} else if err != io.EOF {
		return src.corrupt("after "+sumsName, err)
	}
	pad, err := io.ReadAll(io.LimitReader(zr, padBytesMax+1))
	if err != nil {
		return src.corrupt("end of file", err)
	}
	if len(pad) > padBytesMax || len(bytes.Trim(pad, "\x00")) > 0 {
		return fmt.Errorf("%w: data after the end of the tar", ErrCorrupt)
	}
	if _, err := in.ReadByte(); err == nil {
		return fmt.Errorf("%w: data after the end of the file", ErrCorrupt)
	} else if err != io.EOF {
		return src.corrupt("end of file", err)
	}
	return nil
}

// source remembers whether a read of the file itself failed: then the fault is not the archive's.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// corrupt words an error of gzip or tar. An early end reaches here as several errors; all mean the same.
func (s *source) corrupt(where string, err error) error {
	if s.err != nil {
		return s.err
	}
	var bad flate.CorruptInputError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it ends early (%s)", ErrCorrupt, where)
	case errors.As(err, &bad), errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, tar.ErrHeader):
		return fmt.Errorf("%w: %s", ErrCorrupt, where)
	}
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, where, err)
}
