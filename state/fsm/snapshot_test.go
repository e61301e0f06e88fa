package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"runtime"
	"testing"
	"time"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

func nopCloser(data []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(data)) }

// withoutPages is the records of a stream but for the pages of databases and what sums them up: SQLite counts in a
// file's header how often it was opened for writing.
func withoutPages(t *testing.T, data []byte) []byte {
	t.Helper()
	head, rs := records(t, data)
	for _, r := range rs {
		if rt := recordType(r[0]); rt != recordDatabaseChunk && rt != recordTrailer {
			head = append(head, r...)
		}
	}
	return head
}

func TestRestoreGivesBackTheStateAndPersistTheSameBytes(t *testing.T) {
	f := sample(t)
	data := stream(t, f)
	g := restored(t, data)
	if !bytes.Equal(withoutPages(t, stream(t, g)), withoutPages(t, data)) {
		t.Fatal("the stream of the restored state differs")
	}
	const all = "select group_concat(typeof(a) || a) from t"
	if a, b := sqlOne(t, f, all), sqlOne(t, g, all); a != b || a.Bytes() != "integer1,textx" {
		t.Fatalf("the databases hold %v and %v", a, b)
	}
	if g.AppliedIndex() != f.AppliedIndex() || g.Store().Index() != f.Store().Index() || !g.Store().Time().Equal(f.Store().Time()) {
		t.Fatalf("applied %d, store at %d, %v", g.AppliedIndex(), g.Store().Index(), g.Store().Time())
	}
	if !bytes.Equal(stream(t, restored(t, stream(t, New(state.New(), nil)))), stream(t, New(state.New(), nil))) {
		t.Fatal("the empty state differs")
	}
}

func TestSampleFillsEveryTable(t *testing.T) {
	s, err := Verify(bytes.NewReader(stream(t, sample(t))))
	if err != nil {
		t.Fatal(err)
	}
	for rt := recordNamespace; rt <= recordConsumer; rt++ {
		if rt == recordDatabaseCopy {
			continue // in local streams only
		}
		if s.Counts[rt.table()] == 0 {
			t.Errorf("no rows of %s: the tests of this package are weaker than they look", rt.table())
		}
	}
}

func TestSnapshotHoldsTheMomentItWasTaken(t *testing.T) {
	f := sample(t)
	want := stream(t, f)
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	apply(t, f, 100, set(t, "a", "later"), set(t, "z", "later"))
	sink := &memSink{}
	if err := snap.Persist(sink); err != nil || !bytes.Equal(sink.Bytes(), want) {
		t.Fatalf("%v; the snapshot has moved on", err)
	}
}

func TestPersistCancelsTheSinkOnError(t *testing.T) {
	snap, err := sample(t).Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	sink := &memSink{failAfter: 10, err: full}
	if err := snap.Persist(sink); !errors.Is(err, full) || !sink.cancelled || sink.closed {
		t.Fatalf("%v, cancelled %v, closed %v", err, sink.cancelled, sink.closed)
	}
}

// refused demands that neither Verify nor Restore takes the stream, and that Restore changes nothing.
func refused(t *testing.T, data []byte, what string, args ...any) {
	t.Helper()
	if _, err := Verify(bytes.NewReader(data)); !errors.Is(err, ErrSnapshot) {
		t.Fatalf(what+": Verify: %v", append(args, err)...)
	}
	f := New(newStore(t), nil)
	if err := f.Restore(nopCloser(data)); !errors.Is(err, ErrSnapshot) {
		t.Fatalf(what+": Restore: %v", append(args, err)...)
	}
	if f.AppliedIndex() != 0 || f.Store().Index() != 0 {
		t.Fatalf(what+": the state was replaced", args...)
	}
}

func TestEveryFlippedByteIsDetected(t *testing.T) {
	data := stream(t, sample(t))
	for _, i := range offsets(t, data) {
		for _, mask := range []byte{1, 0xff} {
			bad := bytes.Clone(data)
			bad[i] ^= mask
			if _, err := Verify(bytes.NewReader(bad)); !errors.Is(err, ErrSnapshot) {
				t.Fatalf("byte %d of %d, mask %02x: %v", i, len(data), mask, err)
			}
		}
	}
}

func TestTruncationAtEveryOffsetIsDetected(t *testing.T) {
	data := stream(t, sample(t))
	for _, n := range offsets(t, data) {
		if _, err := Verify(bytes.NewReader(data[:n])); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(data), err)
		}
	}
	refused(t, data[:len(data)-1], "cut by a byte")
	refused(t, append(bytes.Clone(data), 0), "a byte after the end")
	refused(t, append(bytes.Clone(data), data...), "twice")
}

// records splits a stream into its beginning and its raw records, checksums included.
func records(t *testing.T, data []byte) (head []byte, rs [][]byte) {
	t.Helper()
	n := len(snapshotMagic) + 4
	head, data = data[:n], data[n:]
	for len(data) > 0 {
		size := recordHeaderBytes + int(binary.BigEndian.Uint32(data[1:])) + recordSumBytes
		rs, data = append(rs, data[:size]), data[size:]
	}
	return head, rs
}

// offsets are the places of a stream that are worth harming: all, but of the pages of a database a few.
func offsets(t *testing.T, data []byte) (all []int) {
	t.Helper()
	const few = 2047
	head, rs := records(t, data)
	at := len(head)
	for i := range head {
		all = append(all, i)
	}
	for _, r := range rs {
		for i := range r {
			inPages := recordType(r[0]) == recordDatabaseChunk && i >= recordHeaderBytes && i < len(r)-recordSumBytes
			if !inPages || i%few == 0 {
				all = append(all, at+i)
			}
		}
		at += len(r)
	}
	return all
}

// Each record keeps its own right checksum here: only the trailer can tell.
func TestReorderedDroppedAndRepeatedRecordsAreDetected(t *testing.T) {
	head, rs := records(t, stream(t, sample(t)))
	join := func(rs ...[]byte) []byte { return append(bytes.Clone(head), bytes.Join(rs, nil)...) }
	for i := range len(rs) - 1 {
		swapped := append([][]byte{}, rs...)
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
		refused(t, join(swapped...), "records %d and %d swapped", i, i+1)
		refused(t, join(append(append([][]byte{}, rs[:i]...), rs[i+1:]...)...), "record %d left out", i)
		refused(t, join(append(append([][]byte{}, rs[:i+1]...), rs[i:]...)...), "record %d twice", i)
	}
}

// crafted writes a stream with all checksums right, of what write puts into it.
func crafted(t testing.TB, write func(*recordWriter)) []byte {
	t.Helper()
	var buf bytes.Buffer
	rw, err := newRecordWriter(&buf)
	if err != nil {
		t.Fatal(err)
	}
	write(rw)
	if err := rw.finish(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestWellFormedNonsenseIsRefused(t *testing.T) {
	row := func(rt recordType, v any) func(*recordWriter) {
		return func(rw *recordWriter) {
			if err := errors.Join(rw.row(recordHeader, &header{Applied: 9, Index: 9}), rw.row(rt, v)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, write := range map[string]func(*recordWriter){
		"nothing":                     func(*recordWriter) {},
		"no header":                   func(rw *recordWriter) { _ = rw.row(recordKV, &structs.KVPair{Namespace: "default", Key: "a"}) },
		"two headers":                 row(recordHeader, &header{}),
		"index beyond the applied":    func(rw *recordWriter) { _ = rw.row(recordHeader, &header{Applied: 1, Index: 2}) },
		"unknown record type":         row(77, &header{}),
		"namespace without name":      row(recordNamespace, &structs.NamespaceInfo{}),
		"namespace of no valid name":  row(recordNamespace, &structs.NamespaceInfo{Name: "a\x00b"}),
		"node without name":           row(recordNode, &structs.Node{ID: "x"}),
		"session without id":          row(recordSession, &structs.Session{Namespace: "default"}),
		"session without namespace":   row(recordSession, &structs.Session{ID: "x"}),
		"pair without key":            row(recordKV, &structs.KVPair{Namespace: "default"}),
		"pair without namespace":      row(recordKV, &structs.KVPair{Key: "a"}),
		"tombstone without namespace": row(recordTombstone, &state.Tombstone{Key: "a"}),
		"delay without namespace":     row(recordLockDelay, &state.LockDelay{Key: "a"}),
		"table index without table":   row(recordTableIndex, &state.TableIndex{Index: 1}),
		"stream of no valid name":     row(recordStream, &structs.Stream{Namespace: "default", Name: "a..b", FirstSeq: 1}),
		"stream that ends too early":  row(recordStream, &structs.Stream{Namespace: "default", Name: "a", FirstSeq: 3, LastSeq: 1}),
		"message without number":      row(recordMessage, &structs.StreamMessage{Namespace: "default", Stream: "a"}),
		"id of no message":            row(recordPublication, &structs.StreamPublication{Namespace: "default", Stream: "a", ID: "x"}),
		"consumer without stream":     row(recordConsumer, &structs.StreamConsumer{Namespace: "default", Name: "c"}),
		"cluster without id":          row(recordCluster, &structs.ClusterInfo{CreateIndex: 1}),
		"another type":                row(recordKV, "a string"),
		"counts differ": func(rw *recordWriter) {
			row(recordKV, &structs.KVPair{Namespace: "default", Key: "a"})(rw)
			rw.counts["kv"]++
		},
	} {
		t.Run(name, func(t *testing.T) { refused(t, crafted(t, write), "crafted") })
	}
}

func TestLengthThatLiesAllocatesLittle(t *testing.T) {
	data := binary.BigEndian.AppendUint32([]byte(snapshotMagic), snapshotVersion)
	for _, length := range []uint32{recordBytesMax, recordBytesMax + 1, 1<<32 - 1} {
		lie := binary.BigEndian.AppendUint32(append(bytes.Clone(data), byte(recordKV)), length)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Verify(bytes.NewReader(append(lie, "short"...)))
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrSnapshot) || got > 4*recordChunkBytes {
			t.Errorf("length %d: %v, %d bytes allocated", length, err, got)
		}
	}
}

func TestRowOverTheLimitIsNotWritten(t *testing.T) {
	rw, err := newRecordWriter(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := rw.payload(recordKV, make([]byte, recordBytesMax+1)); err == nil {
		t.Fatal("a record was written that no reader takes")
	}
}

func TestReadersErrorIsNotTheStreamsFault(t *testing.T) {
	data, lost := stream(t, sample(t)), errors.New("connection lost")
	for _, n := range offsets(t, data) {
		_, err := Verify(io.MultiReader(bytes.NewReader(data[:n]), failing{lost}))
		if !errors.Is(err, lost) || errors.Is(err, ErrSnapshot) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Snapshots of every released version stay readable: golden files are added, never rewritten.
func TestReadsGoldenSnapshot(t *testing.T) {
	data := golden(t, "snapshot-v1.bin", func() []byte { return stream(t, sampleV1(t)) })
	s, err := Verify(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{"namespaces": 2, "nodes": 1, "sessions": 1, "kv": 5, "tombstones": 1,
		"lock_delays": 1, "autopilot": 1, "table_indexes": 9}
	if s.Index != 25 || !s.Time.Equal(time.Unix(19, 0)) || s.SizeBytes != int64(len(data)) || !maps.Equal(s.Counts, counts) {
		t.Fatalf("summary %+v of %d bytes", s, len(data))
	}
	st := restored(t, data).Store()
	if _, e := st.KVGet(nil, "default", "brief"); e == nil || string(e.Value) != "\x00\xff" || e.Flags != 1<<63 ||
		e.CreateIndex != 16 || e.ModifyIndex != 16 || e.ExpiresAt != 76e9 {
		t.Errorf("brief: %+v", e)
	}
	if _, e := st.KVGet(nil, "default", "lock/a"); e == nil || e.Session != "11111111-1111-1111-1111-111111111111" ||
		e.LockIndex != 1 || e.FencingToken != 14 {
		t.Errorf("lock/a: %+v", e)
	}
	if _, x := st.SessionGet(nil, "default", "11111111-1111-1111-1111-111111111111"); x == nil || x.Node != "s1" ||
		x.TTL != "10s" || x.LockDelay != 15*time.Second || x.CreateIndex != 13 {
		t.Errorf("session: %+v", x)
	}
	if _, n := st.NodeGet(nil, "s1"); n == nil || n.Meta["rack"] != "7" || n.Ports["server"] != 7001 {
		t.Errorf("node: %+v", n)
	}
	if _, c := st.Autopilot(nil); c == nil || !c.CleanupDeadServers || c.MinQuorum != 3 {
		t.Errorf("autopilot: %+v", c)
	}
	if _, c := st.Cluster(nil); c != nil {
		t.Errorf("cluster: %+v, from a time that knew none", c)
	}
}

func TestReadsGoldenSnapshotWithCluster(t *testing.T) {
	data := golden(t, "snapshot-v1-cluster.bin", func() []byte { return stream(t, sample(t)) })
	s, err := Verify(bytes.NewReader(data))
	if err != nil || s.Index != 26 || s.Counts["cluster"] != 1 {
		t.Fatalf("summary %+v, %v", s, err)
	}
	if _, c := restored(t, data).Store().Cluster(nil); c == nil || *c != (structs.ClusterInfo{ID: clusterA, CreateIndex: 26}) {
		t.Errorf("cluster: %+v", c)
	}
}

func TestCopyForClusterChangesTheClusterAndNothingElse(t *testing.T) {
	own := &structs.ClusterInfo{ID: clusterB, CreateIndex: 3}
	foreign, nameless := stream(t, sample(t)), stream(t, sampleV1(t))
	copied := func(data []byte, c *structs.ClusterInfo) []byte {
		var out bytes.Buffer
		sum, err := CopyForCluster(&out, bytes.NewReader(data), c, t.TempDir())
		if want, verr := Verify(bytes.NewReader(data)); err != nil || verr != nil || sum.Index != want.Index || sum.SizeBytes != want.SizeBytes {
			t.Fatalf("%+v, %v; Verify says %+v, %v", sum, err, want, verr)
		}
		return out.Bytes()
	}
	for name, data := range map[string][]byte{"another cluster's": foreign, "one without a cluster": nameless} {
		mine := copied(data, own)
		if _, c := restored(t, mine).Store().Cluster(nil); c == nil || *c != *own {
			t.Errorf("%s: it became %+v", name, c)
		}
		if !bytes.Equal(copied(mine, nil), copied(data, nil)) {
			t.Errorf("%s: more than the cluster has changed", name)
		}
	}
	if !bytes.Equal(copied(foreign, &structs.ClusterInfo{ID: clusterA, CreateIndex: 26}), foreign) || !bytes.Equal(copied(nameless, nil), nameless) {
		t.Error("a copy for the same cluster has other bytes")
	}
	for _, n := range offsets(t, foreign) {
		if _, err := CopyForCluster(io.Discard, bytes.NewReader(foreign[:n]), own, t.TempDir()); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}
