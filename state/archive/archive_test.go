package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write golden files that do not exist yet")

const testState = "this is the state, opaque to the archive"

func testMeta(state string) Meta {
	return Meta{
		ID: "2-42-1700000000000", Index: 42, Term: 2, Version: FormatVersion,
		CreatedAt: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		NodeID:    "12D3KooWExample", Node: "s1", Build: "0.1.0", SizeBytes: int64(len(state)),
		Counts: map[string]int{"kv": 3, "sessions": 1},
	}
}

func testArchive(t testing.TB, state string) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := Write(&buf, testMeta(state), strings.NewReader(state)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestReadGivesBackWhatWriteWasGiven(t *testing.T) {
	for _, state := range []string{"", "x", testState, strings.Repeat("0123456789abcdef", 100_000)} {
		m := testMeta(state)
		m.Version = 0 // Write fills it in
		var file, out bytes.Buffer
		if err := Write(&file, m, strings.NewReader(state)); err != nil {
			t.Fatal(err)
		}
		got, err := Read(&file, &out)
		if err != nil {
			t.Fatal(err)
		}
		if want := testMeta(state); !reflect.DeepEqual(got, want) {
			t.Fatalf("meta %+v, want %+v", got, want)
		}
		if out.String() != state {
			t.Fatalf("state of %d bytes differs", len(state))
		}
	}
}

func TestWriteHoldsTheStateToItsAnnouncedSize(t *testing.T) {
	m := testMeta(testState)
	for _, state := range []string{testState[1:], testState + "x", ""} {
		if err := Write(io.Discard, m, strings.NewReader(state)); err == nil {
			t.Errorf("%d bytes were taken for %d", len(state), m.SizeBytes)
		}
	}
	m.SizeBytes = -1
	if err := Write(io.Discard, m, strings.NewReader("")); err == nil {
		t.Error("a negative size was taken")
	}
	m = testMeta(testState)
	m.ID = strings.Repeat("x", metaBytesMax)
	if err := Write(io.Discard, m, strings.NewReader(testState)); err == nil {
		t.Error("a meta was written that Read refuses")
	}
}

func TestWriteAndReadReportTheWritersError(t *testing.T) {
	full := errors.New("disk full")
	if err := Write(refusing{full}, testMeta(testState), strings.NewReader(testState)); !errors.Is(err, full) {
		t.Errorf("Write: %v", err)
	}
	_, err := Read(bytes.NewReader(testArchive(t, testState)), refusing{full})
	if !errors.Is(err, full) || errors.Is(err, ErrCorrupt) {
		t.Errorf("Read: %v", err)
	}
}

func TestReadBlamesTheReaderForItsError(t *testing.T) {
	lost := errors.New("connection lost")
	file := testArchive(t, testState)
	for n := range file {
		_, err := Read(io.MultiReader(bytes.NewReader(file[:n]), failing{lost}), io.Discard)
		if !errors.Is(err, lost) || errors.Is(err, ErrCorrupt) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

func TestTruncationAnywhereIsCorrupt(t *testing.T) {
	file := testArchive(t, testState)
	for n := range file {
		if _, err := Read(bytes.NewReader(file[:n]), io.Discard); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d of %d bytes: %v", n, len(file), err)
		}
	}
}

// gzip does not protect six bytes of its header (time stamp, operating system) nor some flags; a flip there
// changes nothing.
func TestFlippedBitIsCorruptOrChangesNothing(t *testing.T) {
	file := testArchive(t, testState)
	harmless := 0
	for i := range file {
		for bit := range 8 {
			bad := bytes.Clone(file)
			bad[i] ^= 1 << bit
			var out bytes.Buffer
			m, err := Read(bytes.NewReader(bad), &out)
			if err != nil {
				continue
			}
			harmless++
			if !reflect.DeepEqual(m, testMeta(testState)) || out.String() != testState {
				t.Fatalf("byte %d bit %d: accepted and different", i, bit)
			}
		}
	}
	// Besides those, a flip may make deflate copy the same zeros from elsewhere. All are few.
	if limit := 6*8 + len(file)/10; harmless > limit {
		t.Errorf("%d flips were accepted, more than the %d that can be harmless", harmless, limit)
	}
}

// member is one tar member of a hand-made archive.
type member struct {
	header tar.Header
	body   string
}

func members(state string) (meta, body, list member) {
	raw, err := json.Marshal(testMeta(state))
	if err != nil {
		panic(err)
	}
	l := sums(sha256.Sum256(raw), sha256.Sum256([]byte(state)))
	return file(metaName, string(raw)), file(stateName, state), file(sumsName, string(l))
}

func file(name, body string) member {
	return member{tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(body)), Mode: 0o600}, body}
}

func pack(t testing.TB, tail string, ms ...member) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, m := range ms {
		if err := tw.WriteHeader(&m.header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, m.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(zw, tail); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestRepackedArchiveIsAccepted(t *testing.T) {
	meta, state, list := members(testState)
	for name, tail := range map[string]string{"as is": "", "padded like tar(1)": strings.Repeat("\x00", padBytesMax)} {
		if _, err := Read(bytes.NewReader(pack(t, tail, meta, state, list)), io.Discard); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOtherShapesAreCorrupt(t *testing.T) {
	meta, state, list := members(testState)
	directory := member{tar.Header{Typeflag: tar.TypeDir, Name: stateName, Mode: 0o700}, ""}
	link := member{tar.Header{Typeflag: tar.TypeSymlink, Name: stateName, Linkname: "/etc/passwd"}, ""}
	huge := file(metaName, strings.Repeat(" ", metaBytesMax)+meta.body)
	longSums := file(sumsName, list.body+strings.Repeat("\n", sumsBytesMax))
	otherSums := file(sumsName, strings.ToUpper(list.body))
	short := file(stateName, testState[1:])
	swapped := file(stateName, strings.ToUpper(testState))
	good := pack(t, "", meta, state, list)
	for name, data := range map[string][]byte{
		"empty":                       nil,
		"not gzip":                    []byte(testState),
		"empty gzip":                  gzipped(t, nil),
		"not tar":                     gzipped(t, []byte(strings.Repeat("x", 4096))),
		"no members":                  pack(t, ""),
		"state first":                 pack(t, "", state, meta, list),
		"sums before the state":       pack(t, "", meta, list, state),
		"no sums":                     pack(t, "", meta, state),
		"no state":                    pack(t, "", meta, list),
		"meta twice":                  pack(t, "", meta, meta, state, list),
		"state twice":                 pack(t, "", meta, state, state, list),
		"sums twice":                  pack(t, "", meta, state, list, list),
		"another member at the end":   pack(t, "", meta, state, list, file("x", "x")),
		"another member in between":   pack(t, "", meta, file("x", "x"), state, list),
		"state is a directory":        pack(t, "", meta, directory, list),
		"state is a symbolic link":    pack(t, "", meta, link, list),
		"meta is too long":            pack(t, "", huge, state, list),
		"sums are too long":           pack(t, "", meta, state, longSums),
		"sums are others":             pack(t, "", meta, state, otherSums),
		"state is shorter than meta":  pack(t, "", meta, short, list),
		"state has another sum":       pack(t, "", meta, swapped, list),
		"data after the tar":          pack(t, "x", meta, state, list),
		"zeros without end":           pack(t, strings.Repeat("\x00", padBytesMax+1024), meta, state, list),
		"byte after the file":         append(bytes.Clone(good), 0),
		"another gzip after the file": append(bytes.Clone(good), good...),
		"meta is not JSON":            pack(t, "", file(metaName, "{"), state, list),
		"meta with a tail":            pack(t, "", file(metaName, meta.body+"{}"), state, list),
		"negative size":               pack(t, "", file(metaName, `{"Version":1,"SizeBytes":-1}`), state, list),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Read(bytes.NewReader(data), io.Discard); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v, want ErrCorrupt", err)
			}
		})
	}
}

func TestNewerFormatIsRefusedByName(t *testing.T) {
	_, state, list := members(testState)
	data := pack(t, "", file(metaName, `{"Version":2}`), state, list)
	if _, err := Read(bytes.NewReader(data), io.Discard); !errors.Is(err, ErrVersion) || errors.Is(err, ErrCorrupt) {
		t.Fatalf("error %v, want ErrVersion", err)
	}
}

// A few kilobytes that unpack to megabytes must not reach stateOut past the size in meta.
func TestBombIsBoundedByMeta(t *testing.T) {
	const bomb = 2 << 20
	meta, _, list := members(testState)
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, h := range []*tar.Header{&meta.header, {Typeflag: tar.TypeReg, Name: stateName, Size: bomb, Mode: 0o600}} {
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Name == metaName {
			if _, err := io.WriteString(tw, meta.body); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, err := io.CopyN(tw, zeros{}, bomb); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.WriteHeader(&list.header); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(tw, list.body); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	out := &counter{}
	if _, err := Read(&buf, out); !errors.Is(err, ErrCorrupt) || out.n > int64(len(testState)) {
		t.Fatalf("error %v after %d bytes of state", err, out.n)
	}
}

// The largest size there is must neither overflow nor be allocated.
func TestAbsurdSizeEndsEarly(t *testing.T) {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	meta := file(metaName, fmt.Sprintf(`{"Version":1,"SizeBytes":%d}`, math.MaxInt64))
	if err := tw.WriteHeader(&meta.header); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(tw, meta.body); err != nil {
		t.Fatal(err)
	}
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: stateName, Size: math.MaxInt64, Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(tw, "not that many"); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(&buf, io.Discard); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("error %v, want ErrCorrupt", err)
	}
}

// Files of every released format stay readable: golden files are added, never rewritten.
func TestReadsGoldenFiles(t *testing.T) {
	path := filepath.Join("testdata", "archive-v1.tgz")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && *update {
		if err := os.WriteFile(path, testArchive(t, testState), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out bytes.Buffer
	m, err := Read(f, &out)
	if err != nil || !reflect.DeepEqual(m, testMeta(testState)) || out.String() != testState {
		t.Fatalf("%+v, state %q, %v", m, out.String(), err)
	}
}

func FuzzRead(f *testing.F) {
	meta, state, list := members(testState)
	f.Add(testArchive(f, testState))
	f.Add(pack(f, "", meta, state))
	f.Add(pack(f, "", state, meta, list))
	f.Add(gzipped(f, nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		out := &counter{}
		m, err := Read(bytes.NewReader(data), out)
		if err == nil && out.n != m.SizeBytes {
			t.Fatalf("accepted with %d of %d bytes", out.n, m.SizeBytes)
		}
	})
}

// FuzzReadTar fuzzes what is inside the gzip, where the mutator cannot get through the checksum. Give it
// -fuzzminimizetime=10x: the default spends a minute on each new input.
func FuzzReadTar(f *testing.F) {
	meta, state, list := members(testState)
	f.Add(gunzipped(f, pack(f, "", meta, state, list)))
	f.Add(gunzipped(f, pack(f, "", meta, state)))
	f.Fuzz(func(t *testing.T, data []byte) {
		out := &counter{}
		m, err := Read(bytes.NewReader(gzipped(t, data)), out)
		if err == nil && out.n != m.SizeBytes {
			t.Fatalf("accepted with %d of %d bytes", out.n, m.SizeBytes)
		}
	})
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	// Stored, not compressed: a fuzzer's time goes into the reader.
	zw, err := gzip.NewWriterLevel(&buf, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := zw.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func gunzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type refusing struct{ err error }

func (r refusing) Write([]byte) (int, error) { return 0, r.err }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

func ExampleWrite() {
	var file, state bytes.Buffer
	in := "any state"
	if err := Write(&file, Meta{ID: "1-7-0", Index: 7, Term: 1, SizeBytes: int64(len(in))}, strings.NewReader(in)); err != nil {
		fmt.Println(err)
		return
	}
	m, err := Read(&file, &state)
	fmt.Println(m.Index, state.String(), err)
	// Output: 7 any state <nil>
}
