// Command load is the part of examples/load/run.sh that a shell cannot do well: it makes the data,
// waits for the cluster, and compares what every server holds with what was written.
//
//	load generate -root=DIR -n=N -file=FILE     N pairs from the files below DIR, for `debros kv import`
//	load leader -addr=HOST:PORT [-voters=N]     wait for a leader (and so many voters); print its name
//	load await -addr=HOST:PORT -count=N         wait until that server itself holds N pairs
//	load verify -file=FILE -addr=A,B,…          exit 1 unless every server holds exactly what FILE says
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/debros/debros/api"
)

// waitWithin bounds every wait for the cluster.
const waitWithin = 5 * time.Minute

// pair is one line of the file, in the form of `debros kv export`.
type pair struct {
	Key   string `json:"key"`
	Flags uint64 `json:"flags"`
	Value []byte `json:"value"`
}

func main() {
	if len(os.Args) < 2 {
		fatal(errors.New("want generate, leader, await or verify"))
	}
	fs := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	root := fs.String("root", "", "directory whose files become values")
	n := fs.Int("n", 100_000, "pairs to make")
	file := fs.String("file", "", "file of pairs")
	addr := fs.String("addr", api.DefaultAddress, "HTTP addresses, separated by commas")
	voters := fs.Int("voters", 1, "voters to wait for")
	count := fs.Int64("count", 0, "pairs to wait for")
	_ = fs.Parse(os.Args[2:]) // exits on error
	ctx, cancel := context.WithTimeout(context.Background(), waitWithin)
	defer cancel()
	var err error
	switch os.Args[1] {
	case "generate":
		err = generateFile(*root, *file, *n)
	case "leader":
		err = leader(ctx, *addr, *voters)
	case "await":
		err = await(ctx, *addr, *count)
	case "verify":
		err = verify(ctx, *file, strings.Split(*addr, ","))
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	fatal(err)
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// until calls check every few milliseconds until it says true; a refused connection is no end.
func until(ctx context.Context, check func() (bool, error)) error {
	for {
		ok, err := check()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s: %w", waitWithin, errors.Join(err, ctx.Err()))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func leader(ctx context.Context, addr string, voters int) error {
	client, err := api.New(api.Config{Address: addr})
	if err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		conf, err := client.Operator().RaftConfiguration(ctx, nil)
		if err != nil {
			return false, err
		}
		name, have := "", 0
		for _, s := range conf.Servers {
			if s.Voter {
				have++
			}
			if s.Leader {
				name = s.Node
			}
		}
		if name == "" || have < voters {
			return false, fmt.Errorf("leader %q, %d voters", name, have)
		}
		fmt.Println(name)
		return true, nil
	})
}

func await(ctx context.Context, addr string, count int64) error {
	client, err := api.New(api.Config{Address: addr})
	if err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		n, _, err := client.KV().Count(ctx, "", &api.QueryOptions{Consistency: api.Stale})
		return err == nil && n >= count, err
	})
}

// contents is a set of pairs by what they hash to.
type contents map[string][sha256.Size]byte

// sum hashes a pair's flags and value.
func sum(flags uint64, value []byte) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d:", flags)
	h.Write(value)
	return [sha256.Size]byte(h.Sum(nil))
}

func readFile(name string) (contents, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	want := contents{}
	for dec := json.NewDecoder(f); ; {
		var p pair
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return want, nil
		} else if err != nil {
			return nil, err
		}
		want[p.Key] = sum(p.Flags, p.Value)
	}
}

// verify reads every pair from every server. A linearizable read is answered from the server's own
// state, once that has caught up with all that was acknowledged; so this compares three states.
func verify(ctx context.Context, file string, addrs []string) error {
	want, err := readFile(file)
	if err != nil {
		return err
	}
	for _, addr := range addrs {
		if err := verifyServer(ctx, want, addr); err != nil {
			return fmt.Errorf("server %s: %w", addr, err)
		}
	}
	return nil
}

func verifyServer(ctx context.Context, want contents, addr string) error {
	client, err := api.New(api.Config{Address: addr})
	if err != nil {
		return err
	}
	// A server that has just started refuses connections, then knows no leader for a moment.
	if err := until(ctx, func() (bool, error) { _, _, err := client.KV().Exists(ctx, "x", nil); return err == nil, err }); err != nil {
		return err
	}
	have, bytes, all := 0, 0, sha256.New()
	var wrong []string
	for p, err := range client.KV().Pairs(ctx, "", nil) {
		if err != nil {
			return err
		}
		have++
		bytes += len(p.Value)
		s := sum(p.Flags, p.Value)
		fmt.Fprintf(all, "%s\x00%x\n", p.Key, s)
		if w, ok := want[p.Key]; !ok || w != s {
			wrong = append(wrong, p.Key)
		}
	}
	// Keys come once each and in order: as many as wanted and none wrong means that none is missing.
	if have != len(want) || len(wrong) > 0 {
		return fmt.Errorf("it holds %d pairs, of %d that were acknowledged; %d of them are wrong %.200q", have, len(want), len(wrong), wrong)
	}
	fmt.Printf("   %s holds all %d pairs, %d bytes, each as it was written; sha256 over all %x…\n", addr, have, bytes, all.Sum(nil)[:8])
	return nil
}
