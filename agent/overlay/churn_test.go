package overlay

import (
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// churn is how many peers there are and how they come and go.
type churn struct {
	peers, servers, target int
	stay                   int           // of the servers, who are the first peers
	replaced               int           // peers, one after the other
	every                  time.Duration // one of them, or later
	found                  time.Duration // within which a newcomer is
	lookups                int           // between two of them at least
	own                    func(*Config)
}

// churnOf is a short one, or, in the system tests, ten minutes in which a tenth of 60 peers is replaced each
// minute, with the intervals of production. The short one replaces half of its peers within seconds; two of
// three servers stay, or the table would be lost with them.
func churnOf() churn {
	if os.Getenv("DEBROS_SYSTEM_TESTS") == "" {
		return churn{peers: 12, servers: 3, target: 4, stay: 2, replaced: 6, found: 2 * time.Minute, lookups: 40, own: func(*Config) {}}
	}
	return churn{peers: 60, servers: 5, target: 16, replaced: 60, every: 10 * time.Second, found: 30 * time.Second, lookups: 40, own: func(c *Config) {
		c.DiscoveryInterval, c.PingInterval, c.RetryInterval = 0, 0, 0
	}}
}

// Peers come and go, those that stay find each other and what each has said, and nothing piles up.
func TestPeersThatComeAndGoAreFoundAndLeaveNothingBehind(t *testing.T) {
	c := churnOf()
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("DEBROS_TEST_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("DEBROS_TEST_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))

	var all []*Overlay
	for i := range c.peers {
		all = append(all, c.start(t, i, all[:min(i, 2)]))
	}
	for i, o := range all {
		within(t, 5*time.Minute, "a healthy set of peers", func() bool { return len(o.Members()) >= c.target })
		for j, p := range all {
			if i != j {
				eventually(t, "each peer to find each", func() bool { return finds(t, o, p.ID()) })
			}
		}
	}
	var found, missed int
	look := func() {
		from, to := all[rnd.IntN(len(all))], all[rnd.IntN(len(all))]
		if from == to {
			return
		}
		ok := finds(t, from, to.ID())
		if r, err := from.Get(ctxOf(t), RecordKey(to.ID(), advertName)); err != nil || len(r.Data) == 0 {
			ok = false
		}
		if ok {
			found++
		} else {
			missed++
		}
	}
	for range c.lookups {
		look()
	}
	before := runtime.NumGoroutine()
	for n := range c.replaced {
		next := time.Now().Add(c.every)
		i := c.stay + rnd.IntN(len(all)-c.stay)
		if err := all[i].Close(); err != nil {
			t.Errorf("close overlay: %v", err)
		}
		others := slices.Delete(slices.Clone(all), i, i+1)
		all[i] = c.start(t, i, []*Overlay{others[rnd.IntN(len(others))]})
		// N43: by somebody who does not know it.
		within(t, c.found, "the newcomer to be found", func() bool { return finds(t, others[rnd.IntN(len(others))], all[i].ID()) })
		within(t, c.found, "what it says to be found", func() bool {
			_, err := others[rnd.IntN(len(others))].Get(ctxOf(t), RecordKey(all[i].ID(), advertName))
			return err == nil
		})
		for k := 0; k < c.lookups || time.Now().Before(next); k++ {
			look()
			if k >= c.lookups { // enough of them: the rest of the time is for peers to do what they do
				time.Sleep(100 * time.Millisecond)
			}
		}
		if n%6 == 5 {
			t.Logf("%d replaced: %d goroutines, %d at first; %d lookups, %d failed", n+1, runtime.NumGoroutine(), before, found+missed, missed)
		}
	}
	if missed*100 > found {
		t.Errorf("%d of %d lookups failed", missed, found+missed)
	}
	within(t, 2*time.Minute, "goroutines to be as many as before", func() bool { return runtime.NumGoroutine() <= before+before/5 })
}

// start makes peer i, which knows some others and offers something.
func (c churn) start(t *testing.T, i int, others []*Overlay) *Overlay {
	t.Helper()
	o := start(t, knows(others...), c.own, func(cfg *Config) { cfg.Server, cfg.PeersTarget = i < c.servers, c.target })
	if err := o.SetOffers([]string{"datacenter:dc1"}); err != nil {
		t.Fatal(err)
	}
	return o
}

func finds(t *testing.T, o *Overlay, p peer.ID) bool {
	t.Helper()
	info, err := o.FindPeer(ctxOf(t), p)
	return err == nil && len(info.Addrs) > 0
}
