package test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/debros/debros/api"
)

// hearing is what a subscriber at one host has heard.
type hearing struct {
	host int

	mu       sync.Mutex // protects the following
	next     map[string]int
	messages int
	gaps     int // named ones and those of an agent that was away
	overflow int
	wrong    []string // what came twice, or out of order, or behind a hole that nobody named
	excused  map[string]bool
}

// hear subscribes at a host to "load.*", whose messages are numbers, each publisher's from 0 on a topic of its own.
func hear(t *testing.T, ctx context.Context, c *api.Client, host int) *hearing {
	t.Helper()
	s, err := c.PubSub().Subscribe(ctx, api.SubscribeOptions{QueueMessages: 1 << 18}, "load.*")
	if err != nil {
		t.Fatalf("subscribe at host %d: %v", host, err)
	}
	h := &hearing{host: host, next: map[string]int{}, excused: map[string]bool{}}
	go func() {
		for e, err := range s.All() {
			if err == nil {
				h.note(e)
			}
		}
	}()
	return h
}

func (h *hearing) note(e *api.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case e.Gap != nil:
		h.gaps++
		for topic := range h.next { // of every publisher something may be missing now
			h.excused[topic] = true
		}
	case e.Overflow > 0:
		h.overflow += e.Overflow
	case e.Message != nil:
		var n int
		topic := e.Message.Topic
		if _, err := fmt.Sscan(string(e.Message.Data), &n); err != nil {
			return
		}
		if want := h.next[topic]; n != want && (n < want || !h.excused[topic]) {
			h.wrong = append(h.wrong, fmt.Sprintf("%s: %d where %d was next", topic, n, want))
		}
		h.excused[topic] = false
		h.next[topic] = n + 1
		h.messages++
	}
}

// done says whether everything up to count was heard of each of so many publishers.
func (h *hearing) done(publishers, count int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, next := range h.next {
		if next == count {
			n++
		}
	}
	return n == publishers
}

func (h *hearing) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	wrong := h.wrong[:min(3, len(h.wrong))]
	return fmt.Sprintf("host %d heard %d messages, %d gaps, %d dropped here; wrong %d %v; next %v", h.host+1, h.messages, h.gaps, h.overflow, len(h.wrong), wrong, h.next)
}

// load publishes messages from to count at a host, some at a time, so many a second.
func load(ctx context.Context, c *api.Client, host, from, count, rate int) error {
	const batch = 50
	start := time.Now()
	for n := from; n < count; {
		list := []api.Message{}
		for ; len(list) < batch && n < count; n++ {
			list = append(list, api.Message{Topic: fmt.Sprint("load.h", host+1), Data: fmt.Appendf(nil, "%d %0100d", n, 0)})
		}
		if _, _, err := c.PubSub().Publish(ctx, nil, list...); err != nil {
			return fmt.Errorf("publish at host %d: %w", host+1, err)
		}
		select {
		case <-time.After(time.Until(start.Add(time.Duration(n-from) * time.Second / time.Duration(rate)))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func waitFor(t *testing.T, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > within {
			t.Errorf("waited %s in vain: %s", within, what)
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(start)
}

// TestMessagesAreCompleteAndInOrderOnABadNetwork: ten agents, a network that loses 5 % of all packets, delays them by 20 ms give or take 10
// and so reorders them; five publishers. Two agents are killed in the middle and come back. Every subscriber of the others gets every
// message once and in each publisher's order; those of the two hear of a gap.
func TestMessagesAreCompleteAndInOrderOnABadNetwork(t *testing.T) {
	needNamespaces(t)
	hosts, count, rate := 10, 1000, 500
	if system() {
		count, rate = 20_000, 1000
	}
	const publishers = 5
	b := newBadNet(newScene(t), hosts)
	agents := b.agents(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var heard []*hearing
	for i := range hosts {
		heard = append(heard, hear(t, ctx, b.client(i), i))
	}
	b.loss.Store(50_000)
	b.delay.Store(int64(20 * time.Millisecond))
	b.jitter.Store(int64(10 * time.Millisecond))
	start := time.Now()
	var wg sync.WaitGroup
	for i := range publishers {
		wg.Go(func() {
			if err := load(ctx, b.client(i), i, 0, count, rate); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(t, 5*time.Minute, "half of the messages", func() bool {
		heard[9].mu.Lock()
		defer heard[9].mu.Unlock()
		return heard[9].messages > publishers*count/2
	})
	restarted := []int{8, 9}
	for _, i := range restarted {
		agents[i].kill()
	}
	for _, i := range restarted {
		agents[i].start()
	}
	wg.Wait()
	t.Logf("%d messages published in %s", publishers*count, time.Since(start).Round(time.Millisecond))
	for i, h := range heard[:8] {
		waitFor(t, 2*time.Minute, fmt.Sprintf("host %d has heard everything", i+1), func() bool { return h.done(publishers, count) })
		if len(h.wrong) > 0 || h.gaps > 0 || h.overflow > 0 || h.messages != publishers*count {
			t.Error(h)
		}
	}
	t.Logf("all heard after %s; %d of %d packets lost", time.Since(start).Round(time.Millisecond), b.lost.Load(), b.packets.Load())
	// Whatever the restarted missed they are told of, and from then on they hear everything.
	b.loss.Store(0)
	for _, i := range restarted {
		b.waitWhole(t, i)
	}
	for i := range publishers {
		if err := load(ctx, b.client(i), i, count, count+1, rate); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range restarted {
		waitFor(t, time.Minute, fmt.Sprintf("host %d hears everything again", i+1), func() bool { return heard[i].done(publishers, count+1) })
		if h := heard[i]; len(h.wrong) > 0 || h.gaps == 0 {
			t.Error(h)
		}
	}
	for _, i := range restarted {
		t.Log(heard[i])
	}
}

// TestAPartitionIsRepairedWhenItHeals: two halves publish for 20 s without each other. What they missed comes, or is named, within
// 5 s of the healing.
func TestAPartitionIsRepairedWhenItHeals(t *testing.T) {
	needNamespaces(t)
	const hosts, rate = 4, 100
	b := newBadNet(newScene(t), hosts)
	b.agents(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var heard []*hearing
	for i := range hosts {
		heard = append(heard, hear(t, ctx, b.client(i), i))
	}
	publishers := []int{0, 3}
	sent := 0
	say := func(count int) {
		var wg sync.WaitGroup
		for _, i := range publishers {
			wg.Go(func() {
				if err := load(ctx, b.client(i), i, sent, sent+count, rate); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		sent += count
	}
	all := func() bool {
		for _, h := range heard {
			if !h.done(len(publishers), sent) {
				return false
			}
		}
		return true
	}
	say(rate)
	waitFor(t, patience, "everybody hears everything", all)
	b.split.Store(2)
	say(20 * rate)
	if all() {
		t.Fatal("there was no partition")
	}
	b.split.Store(0)
	took := waitFor(t, patience, "what was missed has come", all)
	t.Logf("everything was there %s after the partition healed", took.Round(10*time.Millisecond))
	for _, h := range heard {
		if len(h.wrong) > 0 || h.gaps > 0 || h.overflow > 0 {
			t.Error(h)
		}
	}
	if took > 5*time.Second && system() { // beside other tests a machine has no time to spare
		t.Errorf("it took %s", took)
	}
}
