//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// The bare pipeline is three processes of this program. Each holds hashicorp/raft over plain TCP on
// loopback, raft-wal, and a state machine that does nothing; the settings are those of debros. The
// callers are goroutines in the leader that call raft.Apply.
//
// The parent speaks to a child in lines of JSON over its standard input and output; a child whose
// input ends, ends.

// bareOrder is one line to a child.
type bareOrder struct {
	Do      string        // bootstrap, leads, load
	Servers []string      `json:",omitempty"` // bootstrap: addresses of all
	Callers int           `json:",omitempty"` // load
	For     time.Duration `json:",omitempty"` // load
}

// bareAnswer is one line from a child; the first one comes unasked and holds Addr.
type bareAnswer struct {
	Addr  string          `json:",omitempty"`
	Leads bool            `json:",omitempty"`
	Ops   int             `json:",omitempty"`
	Secs  float64         `json:",omitempty"`
	Laps  []time.Duration `json:",omitempty"`
	Err   string          `json:",omitempty"`
}

// bareChild is the child's whole life.
func bareChild(dir string) error {
	trans, err := raft.NewTCPTransport("127.0.0.1:0", nil, 3, 10*time.Second, io.Discard)
	if err != nil {
		return err
	}
	addr := trans.LocalAddr()
	logs, err := wal.Open(dir, wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		return err
	}
	cache, err := raft.NewLogCache(512, logs)
	if err != nil {
		return err
	}
	// As in agent/server/config.go.
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(addr)
	rc.HeartbeatTimeout, rc.ElectionTimeout, rc.LeaderLeaseTimeout = 500*time.Millisecond, 500*time.Millisecond, 350*time.Millisecond
	rc.MaxAppendEntries, rc.BatchApplyCh, rc.SnapshotThreshold = 64, true, 1<<62
	rc.NoLegacyTelemetry, rc.Logger = true, hclog.NewNullLogger()
	r, err := raft.NewRaft(rc, nothing{}, cache, logs, raft.NewDiscardSnapshotStore(), trans)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(bareAnswer{Addr: string(addr)}); err != nil {
		return err
	}
	for in := json.NewDecoder(os.Stdin); ; {
		var o bareOrder
		if err := in.Decode(&o); err != nil {
			return nil // the parent is done
		}
		if err := out.Encode(obey(r, o)); err != nil {
			return err
		}
	}
}

func obey(r *raft.Raft, o bareOrder) (a bareAnswer) {
	var err error
	switch o.Do {
	case "bootstrap":
		var conf raft.Configuration
		for _, s := range o.Servers {
			conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(s), Address: raft.ServerAddress(s)})
		}
		err = r.BootstrapCluster(conf).Error()
	case "leads":
		a.Leads = r.State() == raft.Leader
	case "load":
		var res loadResult
		res, err = load(context.Background(), o.Callers, o.For, func(int) (func() error, func(), error) {
			v := value()
			return func() error { return r.Apply(v, 0).Error() }, func() {}, nil
		})
		a.Ops, a.Secs, a.Laps = res.Ops, res.Seconds, res.laps
	}
	if err != nil {
		a.Err = err.Error()
	}
	return a
}

// nothing is a state machine without state.
type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) ApplyBatch(logs []*raft.Log) []any   { return make([]any, len(logs)) }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("no snapshots here") }
func (nothing) Restore(io.ReadCloser) error         { return errors.New("no snapshots here") }

// bare is the parent's side.
type bare struct {
	children []*child
	leader   *child
}

type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	enc *json.Encoder
	dec *json.Decoder
}

func startBare(ctx context.Context, dir string) (*bare, error) {
	b := &bare{}
	var addrs []string
	for i := range 3 {
		sub := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(sub, 0o700); err != nil {
			b.close()
			return nil, err
		}
		c, addr, err := startChild(sub)
		if err != nil {
			b.close()
			return nil, err
		}
		b.children, addrs = append(b.children, c), append(addrs, addr)
	}
	if _, err := b.children[0].ask(bareOrder{Do: "bootstrap", Servers: addrs}); err != nil {
		b.close()
		return nil, err
	}
	for b.leader == nil {
		for _, c := range b.children {
			a, err := c.ask(bareOrder{Do: "leads"})
			if err != nil || ctx.Err() != nil {
				b.close()
				return nil, errors.Join(err, ctx.Err())
			}
			if a.Leads {
				b.leader = c
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return b, nil
}

func startChild(dir string) (*child, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.Command(self, "-bare-child", "-dir="+dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the parent
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	c := &child{cmd: cmd, in: in, enc: json.NewEncoder(in), dec: json.NewDecoder(bufio.NewReader(out))}
	var hello bareAnswer
	if err := c.dec.Decode(&hello); err != nil {
		c.close()
		return nil, "", fmt.Errorf("start a bare node: %w", err)
	}
	return c, hello.Addr, nil
}

func (c *child) ask(o bareOrder) (a bareAnswer, err error) {
	if err = c.enc.Encode(o); err == nil {
		err = c.dec.Decode(&a)
	}
	if err == nil && a.Err != "" {
		err = errors.New(a.Err)
	}
	if err != nil {
		err = fmt.Errorf("bare node: %s: %w", o.Do, err)
	}
	return a, err
}

func (c *child) close() {
	_ = c.in.Close()
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		log.Print(err)
	}
	_ = c.cmd.Wait() // killed
}

// load runs callers in the leader.
func (b *bare) load(callers int, d time.Duration) (loadResult, error) {
	a, err := b.leader.ask(bareOrder{Do: "load", Callers: callers, For: d})
	r := loadResult{Ops: a.Ops, Seconds: a.Secs, laps: a.Laps}
	r.P50, r.P99 = quantile(r.laps, 0.5), quantile(r.laps, 0.99)
	return r, err
}

func (b *bare) close() {
	for _, c := range b.children {
		c.close()
	}
}
