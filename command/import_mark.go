package command

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/debros/debros/internal/atomicfile"
)

// mark says how far an import came: so many pairs from the beginning of the file are written.
type mark struct {
	Records int64
	SHA256  string // of those pairs, to recognise the file
	sum     [sha256.Size]byte
}

// chain is the running sum over pairs.
func chain(sum [sha256.Size]byte, p exported) [sha256.Size]byte {
	b, _ := json.Marshal(p) // of strings, bytes and numbers: cannot fail
	return sha256.Sum256(append(sum[:], b...))
}

func loadMark(path string) (mark, error) {
	var m mark
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	err = dec.Decode(&m)
	sum, herr := hex.DecodeString(m.SHA256)
	if err != nil || herr != nil || len(sum) != sha256.Size || m.Records < 0 {
		return m, withHint(fmt.Errorf("%s is not a -resume file", path), "remove it to begin anew")
	}
	copy(m.sum[:], sum)
	return m, nil
}

// save writes the mark, or removes the file when the import is complete.
func (m mark) save(path string, complete bool) error {
	if complete {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	m.SHA256 = hex.EncodeToString(m.sum[:])
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(b, '\n'), 0o600)
}
