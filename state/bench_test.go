package state

import (
	"fmt"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// BenchmarkApplyEntry applies entries of 64 and of 512 puts to a store of 100,000 keys.
func BenchmarkApplyEntry(b *testing.B) {
	for _, size := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("puts=%d", size), func(b *testing.B) {
			s := New()
			index := uint64(1)
			value := make([]byte, 256)
			n := 0
			entry := func(size int) {
				index++
				tx := s.Begin(structs.Stamp{Index: index, Time: time.Unix(0, int64(index))})
				for range size {
					n += 7919 // a prime: strides over all keys
					req := &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{
						Key: fmt.Sprintf("app/users/%06d/profile", n%100_000), Value: value, Flags: index}}
					req.Namespace = structs.DefaultNamespace
					if _, err := tx.KV(req); err != nil {
						b.Fatal(err)
					}
				}
				tx.Commit()
			}
			for range 100 {
				entry(1000)
			}
			b.ReportAllocs()
			for b.Loop() {
				entry(size)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/put")
		})
	}
}
