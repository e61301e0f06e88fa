package pubsub

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/debros/debros/structs"
)

// deliverTo publishes b.N messages of 128 bytes, a hundred at a time, and waits until every subscription has them.
func deliverTo(b *testing.B, n int) {
	nodes := cluster(b, 3)
	subs := make([]*Subscription, n)
	for i := range subs {
		subs[i] = nodes[1+i%2].sub(b, structs.SubscribeOptions{Patterns: []string{"bench.*"}, QueueMessages: queueMessagesMax})
	}
	data := make([]byte, 128)
	b.ResetTimer()
	go func() {
		for sent := 0; sent < b.N; sent += 100 {
			list := make([]*structs.Message, min(100, b.N-sent))
			for i := range list {
				list[i] = &structs.Message{Topic: "bench.a", Data: data}
			}
			if err := nodes[0].Publish(b.Context(), "default", list); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	var wg sync.WaitGroup
	for _, s := range subs {
		wg.Go(func() {
			for got := 0; got < b.N; {
				items, err := s.Next(b.Context())
				if err != nil {
					b.Error(err)
					return
				}
				for _, it := range items {
					if it.Message == nil {
						b.Errorf("%s", text(it))
						return
					}
				}
				got += len(items)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "msgs/s")
}

func BenchmarkDelivery(b *testing.B) {
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprintf("1to%d", n), func(b *testing.B) { deliverTo(b, n) })
	}
}

// BenchmarkIdleSubscription reports what a subscription takes in memory while nothing comes.
func BenchmarkIdleSubscription(b *testing.B) {
	n := startNode(b, newKey(b), 1)
	n.to(b, "a") // its carrier is joined
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		n.to(b, "a")
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "heapB/op")
}

// BenchmarkIdleNamespace reports what a namespace takes in memory that somebody subscribes in, while nothing comes.
func BenchmarkIdleNamespace(b *testing.B) {
	n := startNode(b, newKey(b), 1)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	i := 0
	for b.Loop() {
		s, err := n.Subscribe(b.Context(), structs.Namespace(fmt.Sprint("n", i)), structs.SubscribeOptions{Patterns: []string{">"}})
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		i++
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/float64(i), "B/namespace")
}
