package fsm

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

const (
	benchCommands = 64
	benchKeys     = 100_000
)

// benchEntries are entries of 64 puts of 256 bytes over 100,000 keys.
func benchEntries(b *testing.B, n int) [][]byte {
	b.Helper()
	value := bytes.Repeat([]byte("v"), 256)
	out := make([][]byte, n)
	k := 0
	for i := range out {
		e := &structs.Entry{Time: int64(i + 1)}
		for range benchCommands {
			k = (k + 7919) % benchKeys
			value[0], value[1] = byte(i), byte(i>>8) // an equal value would be no write
			e.Commands = append(e.Commands, set(b, fmt.Sprintf("bench/%08d", k), string(value)))
		}
		out[i] = encodeEntry(b, e)
	}
	return out
}

func BenchmarkApplyBatch(b *testing.B) {
	entries := benchEntries(b, 2*benchKeys/benchCommands)
	for _, batch := range []int{1, 16} {
		b.Run(fmt.Sprintf("entries=%d", batch), func(b *testing.B) {
			f := New(state.New(), nil)
			index := uint64(0)
			logs := make([]*raft.Log, batch)
			b.ReportAllocs()
			for b.Loop() {
				for i := range logs {
					index++
					logs[i] = &raft.Log{Index: index, Type: raft.LogCommand, Data: entries[index%uint64(len(entries))]}
				}
				f.ApplyBatch(logs)
			}
			b.ReportMetric(float64(index)*benchCommands/b.Elapsed().Seconds(), "commands/s")
		})
	}
}

func BenchmarkDecodeEntry(b *testing.B) {
	data := benchEntries(b, 1)[0]
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeEntry(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeEntry(b *testing.B) {
	e, err := DecodeEntry(benchEntries(b, 1)[0])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EncodeEntry(e); err != nil {
			b.Fatal(err)
		}
	}
}

func benchState(b *testing.B) *FSM {
	b.Helper()
	f := New(state.New(), nil)
	for i, data := range benchEntries(b, 2*benchKeys/benchCommands) {
		f.Apply(&raft.Log{Index: uint64(i + 1), Type: raft.LogCommand, Data: data})
	}
	return f
}

func BenchmarkPersist(b *testing.B) {
	f := benchState(b)
	b.SetBytes(int64(len(stream(b, f))))
	for b.Loop() {
		if _, err := writeStream(io.Discard, f.Store().Snapshot(), f.AppliedIndex(), nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRestore(b *testing.B) {
	data := stream(b, benchState(b))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		restored(b, data)
	}
}

func BenchmarkVerify(b *testing.B) {
	data := stream(b, benchState(b))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Verify(bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}
