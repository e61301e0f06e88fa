package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// pieceBytes is the size of one value. The source tree of Go has enough of them for 100,000 pairs.
const pieceBytes = 1 << 10

// errEnough ends the walk.
var errEnough = errors.New("enough pairs")

// generateFile writes n pairs, one JSON object per line. Files are cut into pieces; should the whole
// tree not be enough, it is gone through again under another prefix.
func generateFile(root, name string, n int) error {
	if root == "" || name == "" || n < 1 {
		return errors.New("generate: want -root, -file and -n above 0")
	}
	out, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	buffered := bufio.NewWriter(out)
	g := &generator{root: root, enc: json.NewEncoder(buffered), left: n}
	for lap := 1; g.left > 0; lap++ {
		before := g.left
		g.prefix = fmt.Sprintf("go%d/", lap)
		if err := filepath.WalkDir(filepath.Join(root, "src"), g.visit); err != nil && !errors.Is(err, errEnough) {
			return err
		}
		if g.left == before {
			return fmt.Errorf("generate: no files below %s", root)
		}
	}
	return errors.Join(buffered.Flush(), out.Close())
}

type generator struct {
	root, prefix string
	enc          *json.Encoder
	left         int
}

// visit turns one file into pairs.
func (g *generator) visit(path string, d fs.DirEntry, err error) error {
	if err != nil || !d.Type().IsRegular() {
		return err
	}
	rel, err := filepath.Rel(g.root, path)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	if !utf8.ValidString(rel) || strings.ContainsFunc(rel, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return nil // no name for a key
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i := 0; len(data) > 0; i++ {
		if g.left == 0 {
			return errEnough
		}
		piece := data[:min(len(data), pieceBytes)]
		data = data[len(piece):]
		if err := g.enc.Encode(pair{Key: fmt.Sprintf("%s%s/%05d", g.prefix, rel, i), Flags: uint64(i), Value: piece}); err != nil {
			return err
		}
		g.left--
	}
	return nil
}
