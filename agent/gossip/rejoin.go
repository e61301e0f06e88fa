package gossip

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"
)

// serf tries the members of its snapshot once, right at start. That is not enough when the network
// is not up yet, so we read the same file and go on until somebody is found.
const (
	rejoinDelayMin   = time.Second
	rejoinDelayMax   = 30 * time.Second
	snapshotBytesMax = 16 << 20 // serf compacts at 128 KiB
	previousMax      = 10000
)

// previousNodes reads "name/address" of the members that were alive when the node stopped. A
// missing or broken file names nobody.
func previousNodes(path, self string, afterLeave bool) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	return parseSnapshot(io.LimitReader(f, snapshotBytesMax), self, afterLeave)
}

func parseSnapshot(r io.Reader, self string, afterLeave bool) []string {
	alive := map[string]string{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if info, ok := strings.CutPrefix(line, "alive: "); ok {
			i := strings.LastIndexByte(info, ' ')
			if i > 0 && len(alive) < previousMax {
				alive[info[:i]] = info[i+1:]
			}
		} else if name, ok := strings.CutPrefix(line, "not-alive: "); ok {
			delete(alive, name)
		} else if line == "leave" && !afterLeave {
			clear(alive)
		}
	}
	delete(alive, self)
	out := make([]string, 0, len(alive))
	for name, addr := range alive {
		out = append(out, name+"/"+addr)
	}
	return out
}

// rejoin calls the previous members until one answers, this node is found by another, or done.
func (g *Gossip) rejoin(previous []string) {
	defer g.joining.Add(-1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with rejoin
		select {
		case <-g.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	for delay := rejoinDelayMin; ; delay = min(2*delay, rejoinDelayMax) {
		select {
		case <-g.done:
			return
		case <-time.After(delay/2 + rand.N(delay)):
		}
		if g.established.Load() {
			return
		}
		rand.Shuffle(len(previous), func(i, j int) { previous[i], previous[j] = previous[j], previous[i] })
		for _, addr := range previous {
			if n, err := g.Join(ctx, []string{addr}); n > 0 || g.established.Load() {
				return
			} else if err != nil {
				g.log.Debug("rejoin failed", "address", addr, "error", err)
			}
		}
	}
}
