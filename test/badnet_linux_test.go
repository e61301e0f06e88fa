package test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/debros/debros/api"
)

// badNet is a segment of hosts whose packets pass this process, which loses, delays and reorders them: this kernel has no netem. Each host is a
// namespace with a TUN device.
type badNet struct {
	s     *scene
	hosts []string
	tuns  []int

	loss          atomic.Uint64 // of a million packets
	delay, jitter atomic.Int64  // ns; jitter comes on top, up and down, of each packet by itself
	split         atomic.Int64  // hosts from this one on are cut off from those before it; 0 = none are
	packets, lost atomic.Int64
}

// newBadNet makes hosts h1 to hn at 10.77.0.1 to n, on a good network to begin with.
func newBadNet(s *scene, n int) *badNet {
	s.t.Helper()
	b := &badNet{s: s}
	for i := range n {
		name := fmt.Sprint("h", i+1)
		s.add(name)
		tun, err := openTUN(s.ns(name))
		if err != nil {
			s.t.Skipf("SKIPPED: no TUN device in a namespace: %v", err)
		}
		s.in(name, fmt.Sprintf("ip addr add 10.77.0.%d/24 dev tun0", i+1), "ip link set tun0 mtu 1500 up")
		b.hosts, b.tuns = append(b.hosts, name), append(b.tuns, tun)
	}
	for i := range b.tuns {
		go b.pump(i)
	}
	s.t.Cleanup(func() {
		for _, tun := range b.tuns {
			_ = unix.Close(tun)
		}
	})
	return b
}

// inNamespace calls f in a network namespace.
func inNamespace(ns string, f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	there, err := os.Open("/var/run/netns/" + ns)
	if err == nil {
		err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET)
		there.Close()
	}
	if err == nil {
		err = f()
	}
	// Back, and on: agents that this thread has started would end with it.
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back)
	}
	runtime.UnlockOSThread()
	return err
}

func openTUN(ns string) (fd int, err error) {
	err = inNamespace(ns, func() error {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		req, err := unix.NewIfreq("tun0")
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	})
	return fd, err
}

// pump passes on what a host sends.
func (b *badNet) pump(from int) {
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(b.tuns[from], buf)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return // closed
		}
		if n < 20 || buf[0]>>4 != 4 {
			continue
		}
		to := int(binary.BigEndian.Uint32(buf[16:20])&0xff) - 1
		if to < 0 || to >= len(b.tuns) {
			continue
		}
		b.packets.Add(1)
		if cut := int(b.split.Load()); cut > 0 && (from >= cut) != (to >= cut) || rand.Uint64N(1e6) < b.loss.Load() {
			b.lost.Add(1)
			continue
		}
		delay := time.Duration(b.delay.Load())
		if j := b.jitter.Load(); j > 0 {
			delay += time.Duration(rand.Int64N(2*j) - j)
		}
		if delay <= 0 {
			_, _ = unix.Write(b.tuns[to], buf[:n])
			continue
		}
		packet := append([]byte(nil), buf[:n]...)
		time.AfterFunc(delay, func() { _, _ = unix.Write(b.tuns[to], packet) })
	}
}

// client talks to the agent of a host, on the loopback of its namespace.
func (b *badNet) client(i int) *api.Client {
	b.s.t.Helper()
	dial := func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		err = inNamespace(b.s.ns(b.hosts[i]), func() (err error) {
			conn, err = new(net.Dialer).DialContext(ctx, network, addr)
			return err
		})
		return conn, err
	}
	c, err := api.New(api.Config{Address: "http://127.0.0.1:5001", Dialer: dial})
	if err != nil {
		b.s.t.Fatal(err)
	}
	b.s.t.Cleanup(c.Close)
	return c
}

// agents starts one on each host, the first of them a server, and waits until all know each other.
func (b *badNet) agents(t *testing.T) []*process {
	t.Helper()
	var list []*process
	for i, name := range b.hosts {
		addr := fmt.Sprint("10.77.0.", i+1)
		args := []string{"-bind=" + addr}
		if i == 0 {
			args = append(args, "-server", "-bootstrap-expect=1")
		} else {
			args = append(args, "-retry-join=10.77.0.1")
		}
		list = append(list, b.s.agent(name, args...))
	}
	for i := range list {
		b.waitWhole(t, i)
	}
	return list
}

// waitWhole waits until the agent of a host is connected to every other one.
func (b *badNet) waitWhole(t *testing.T, i int) {
	t.Helper()
	c := b.client(i)
	deadline := time.Now().Add(90 * time.Second)
	for {
		peers, err := c.Network().Peers(t.Context())
		n := 0
		for _, p := range peers {
			if p.Member && p.Connected {
				n++
			}
		}
		if n == len(b.hosts)-1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is connected to %d of %d agents: %v", b.hosts[i], n, len(b.hosts)-1, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
