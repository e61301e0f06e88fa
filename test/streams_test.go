//go:build unix

package test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/test/harness"
)

// publisher sends numbered messages one after the other, each until it is acknowledged, to one server after the other.
func publisher(ctx context.Context, c *sqlCluster, name string, count int, acked *atomic.Int64) error {
	for n := range count {
		m := api.Message{Topic: "orders." + name, ID: fmt.Sprintf("%s-%d", name, n), Data: []byte(strconv.Itoa(n))}
		for try := 0; ; try++ {
			_, _, err := c.Servers[(n+try)%len(c.Servers)].Quick().Streams().Publish(ctx, nil, m)
			if err == nil {
				acked.Add(1)
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("%s, message %d: %w", name, n, err)
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// consume reads as the consumer does in real life: some messages, an acknowledgement, a crash behind it; then again from another agent.
// What comes twice because the acknowledgement was lost with the crash is dropped by its number.
func consume(ctx context.Context, c *sqlCluster, total int) (topics map[string][]string, err error) {
	topics = map[string][]string{}
	last := uint64(0)
	for life := 0; int(last) < total; life++ {
		client := c.Servers[life%len(c.Servers)].API()
		feed := client.Streams().Messages("orders", api.MessageFeedOptions{Consumer: "test", Follow: true})
		read := 0
		for m, err := range feed.All(ctx) {
			if err != nil {
				if ctx.Err() != nil {
					return nil, err
				}
				break // the server is gone: another one goes on
			}
			if m.Seq <= last {
				continue
			}
			if m.Seq != last+1 {
				return nil, fmt.Errorf("message %d came after %d", m.Seq, last)
			}
			last = m.Seq
			topics[m.Topic] = append(topics[m.Topic], string(m.Data))
			if read++; int(last) == total || read == 1+total/20 {
				break
			}
		}
		if last > 0 {
			_, _, _ = client.Streams().Ack(ctx, "orders", "test", last, nil) // may fail: it was a crash then
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return topics, nil
}

// TestNothingPublishedIsLostOrDoubledWhenLeadersAreKilled publishes with retries while leaders get SIGKILL: every message is in the stream
// once, in its publisher's order, the same on every server; a consumer that crashes and resumes meets each of them.
func TestNothingPublishedIsLostOrDoubledWhenLeadersAreKilled(t *testing.T) {
	t.Parallel()
	publishers, each, kills := 8, 250, 2
	if system() {
		publishers, each, kills = 16, 6250, 8
	}
	c := newSQLCluster(t)
	ctx := c.within()
	total := publishers * each
	leader := harness.LeaderOf(t, c.Cluster)
	streams := leader.API().Streams()
	if _, _, err := streams.Create(ctx, "orders", api.StreamSettings{Dedupe: api.Duration(time.Hour)}, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := streams.SetConsumer(ctx, "orders", api.StreamConsumer{Name: "test"}, nil); err != nil {
		t.Fatal(err)
	}

	var acked atomic.Int64
	var wg sync.WaitGroup
	for i := range publishers {
		wg.Go(func() {
			if err := publisher(ctx, c, fmt.Sprint("p", i), each, &acked); err != nil {
				t.Error(err)
			}
		})
	}
	var consumed map[string][]string
	wg.Go(func() {
		var err error
		if consumed, err = consume(ctx, c, total); err != nil {
			t.Error("the consumer: ", err)
		}
	})
	for n := range kills {
		for int(acked.Load()) < (n+1)*total/(kills+1) && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		victim := harness.LeaderOf(t, c.Cluster)
		if err := victim.Kill(); err != nil {
			t.Fatal(err)
		}
		before := acked.Load()
		for acked.Load() == before && ctx.Err() == nil { // the others go on
			time.Sleep(10 * time.Millisecond)
		}
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	check := func(who string, topics map[string][]string) {
		for i := range publishers {
			got := topics[fmt.Sprint("orders.p", i)]
			for n, data := range got {
				if data != strconv.Itoa(n) {
					t.Fatalf("%s: publisher %d: message %d is %s", who, i, n, data)
				}
			}
			if len(got) != each {
				t.Errorf("%s: %d messages of publisher %d, %d were acknowledged", who, len(got), i, each)
			}
		}
	}
	check("the consumer", consumed)
	for _, n := range c.Servers {
		topics := map[string][]string{}
		for m, err := range n.API().Streams().Messages("orders", api.MessageFeedOptions{}).All(ctx) {
			if err != nil {
				t.Fatalf("%s: %v", n.Name, err)
			}
			topics[m.Topic] = append(topics[m.Topic], string(m.Data))
		}
		check(n.Name, topics)
	}
	if s, _, err := leader.API().Streams().Get(ctx, "orders", nil); err != nil || int(s.LastSeq) != total || s.Consumers[0].Acked != uint64(total) || !strings.HasPrefix(s.Consumers[0].Name, "test") {
		t.Errorf("%+v, %v", s, err)
	}
}
