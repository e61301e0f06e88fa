package transport

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/debros/debros/internal/creds"
	"github.com/debros/debros/structs"
)

// BenchmarkCall is one unary call over loopback TLS with 256 bytes each way.
func BenchmarkCall(b *testing.B) {
	k := creds.GenerateClusterKey()
	_, addr := start(b, Config{Creds: newCreds(b, k, structs.RoleServer, "dc1")}, []Method{echo()}, nil)
	p := newPool(b, Config{Creds: newCreds(b, k, structs.RoleServer, "dc1")}, nil)
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			b.ReportAllocs()
			var wg sync.WaitGroup
			for i := range callers {
				n := b.N / callers
				if i < b.N%callers {
					n++
				}
				wg.Go(func() {
					req := &echoRequest{Data: make([]byte, 256)}
					for range n {
						if err := p.Call(context.Background(), addr, "Test.Echo", req, new(echoReply)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkGuard is the guard's own cost over a full batch of entries.
func BenchmarkGuard(b *testing.B) {
	msg := guardBatch()
	g := newRaftGuard(nil, Limits{}.withDefaults(), false, nil)
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		if _, err := g.check(msg); err != nil {
			b.Fatal(err)
		}
	}
}
