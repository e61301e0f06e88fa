package archive

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
)

// Write makes an archive of the m.SizeBytes bytes that state gives; m.Version may be 0. It is an error
// when state gives fewer bytes or more. What was written to w before an error is not an archive: Read
// refuses it.
func Write(w io.Writer, m Meta, state io.Reader) error {
	if m.Version == 0 {
		m.Version = FormatVersion
	}
	if err := m.check(); err != nil {
		return fmt.Errorf("write snapshot archive: %w", err)
	}
	meta, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write snapshot archive: %w", err)
	}
	meta = append(meta, '\n')
	if len(meta) > metaBytesMax {
		return fmt.Errorf("write snapshot archive: meta of %d bytes is over the limit of %d", len(meta), metaBytesMax)
	}
	if err := write(w, m, meta, state); err != nil {
		return fmt.Errorf("write snapshot archive: %w", err)
	}
	return nil
}

func write(w io.Writer, m Meta, meta []byte, state io.Reader) error {
	// BestSpeed: a save competes with the server's real work, and the state is read once more by far
	// than it is stored.
	zw, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(zw)
	header := func(name string, size int64) error {
		return tw.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: m.CreatedAt,
		})
	}

	if err := header(metaName, int64(len(meta))); err != nil {
		return err
	}
	if _, err := tw.Write(meta); err != nil {
		return err
	}

	if err := header(stateName, m.SizeBytes); err != nil {
		return err
	}
	hash := sha256.New()
	n, err := io.CopyN(io.MultiWriter(tw, hash), state, m.SizeBytes)
	if err != nil {
		return fmt.Errorf("state ended after %d of %d bytes: %w", n, m.SizeBytes, err)
	}
	if extra, err := io.CopyN(io.Discard, state, 1); extra != 0 {
		return fmt.Errorf("state is longer than the %d bytes announced", m.SizeBytes)
	} else if err != io.EOF {
		return err
	}

	list := sums(sha256.Sum256(meta), [sha256.Size]byte(hash.Sum(nil)))
	if err := header(sumsName, int64(len(list))); err != nil {
		return err
	}
	if _, err := tw.Write(list); err != nil {
		return err
	}
	if err := tw.Close(); err != nil {
		return err
	}
	return zw.Close()
}
