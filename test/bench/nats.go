//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// natsMover is a cluster of two nats-servers: the publisher at one, the subscribers at the other, as they are with debros.
// It speaks their protocol itself, as conn speaks HTTP.
type natsMover struct {
	servers []*exec.Cmd
	addrs   []string
	pub     net.Conn
	in      *bufio.Reader
	buf     []byte
}

func startNATS(ctx context.Context, path string) (*natsMover, error) {
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	m := &natsMover{}
	for i := range 2 {
		cmd := exec.Command(path, "-a", "127.0.0.1", "-p", strconv.Itoa(ports[i]),
			"--cluster_name", "bench", "--cluster", fmt.Sprintf("nats://127.0.0.1:%d", ports[2+i]), "--routes", fmt.Sprintf("nats://127.0.0.1:%d", ports[2+(1-i)]))
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			m.close()
			return nil, err
		}
		m.servers = append(m.servers, cmd)
		m.addrs = append(m.addrs, fmt.Sprintf("127.0.0.1:%d", ports[i]))
	}
	deadline := time.Now().Add(startWithin)
	for {
		if m.pub, m.in, err = natsDial(m.addrs[0]); err == nil {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			m.close()
			return nil, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return m, m.meet(ctx, deadline)
}

// meet waits until a message from one server comes at the other.
func (m *natsMover) meet(ctx context.Context, deadline time.Time) error {
	l, err := m.listen(ctx, 0)
	if err != nil {
		return err
	}
	defer l.close()
	arrived := make(chan error, 1)
	go func() { arrived <- l.read(1, func([]byte) {}) }()
	for time.Now().Before(deadline) {
		if err := m.publish([][]byte{value()[:messageBytes]}); err != nil {
			return err
		}
		select {
		case err := <-arrived:
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("the two nats-servers do not meet")
}

func freePorts(n int) (out []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}

func natsDial(addr string) (net.Conn, *bufio.Reader, error) {
	c, err := net.DialTimeout("tcp", addr, callTimeout)
	if err != nil {
		return nil, nil, err
	}
	in := bufio.NewReaderSize(c, 256<<10)
	if _, err = in.ReadSlice('\n'); err == nil { // INFO
		_, err = io.WriteString(c, "CONNECT {\"verbose\":false}\r\nPING\r\n")
	}
	if err == nil {
		_, err = in.ReadSlice('\n') // PONG
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, in, nil
}

// publish sends a batch and waits until the server has taken it, as a reply of HTTP says.
func (m *natsMover) publish(data [][]byte) error {
	m.buf = m.buf[:0]
	for _, d := range data {
		m.buf = append(strconv.AppendInt(append(m.buf, "PUB bench.live "...), int64(len(d)), 10), "\r\n"...)
		m.buf = append(append(m.buf, d...), "\r\n"...)
	}
	m.buf = append(m.buf, "PING\r\n"...)
	if _, err := m.pub.Write(m.buf); err != nil {
		return err
	}
	for {
		line, err := m.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch {
		case bytes.HasPrefix(line, []byte("PONG")):
			return nil
		case bytes.HasPrefix(line, []byte("PING")):
			if _, err := io.WriteString(m.pub, "PONG\r\n"); err != nil {
				return err
			}
		}
	}
}

func (m *natsMover) listen(context.Context, int) (listener, error) {
	c, in, err := natsDial(m.addrs[1])
	if err != nil {
		return nil, err
	}
	if _, err = io.WriteString(c, "SUB bench.* 1\r\nPING\r\n"); err == nil {
		_, err = in.ReadSlice('\n') // PONG: it is heard by this server
	}
	time.Sleep(200 * time.Millisecond) // and by the other, which nothing tells
	return &natsListener{c, in}, err
}

func (m *natsMover) close() {
	if m.pub != nil {
		m.pub.Close()
	}
	for _, cmd := range m.servers {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

type natsListener struct {
	c  net.Conn
	in *bufio.Reader
}

func (l *natsListener) close() { l.c.Close() }

func (l *natsListener) read(n int, each func([]byte)) error {
	var data [messageBytes + 2]byte
	for got := 0; got < n; {
		line, err := l.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if bytes.HasPrefix(line, []byte("PING")) {
			if _, err := io.WriteString(l.c, "PONG\r\n"); err != nil {
				return err
			}
			continue
		}
		if !bytes.HasPrefix(line, []byte("MSG ")) {
			continue
		}
		if _, err := io.ReadFull(l.in, data[:]); err != nil {
			return err
		}
		each(data[:messageBytes])
		got++
	}
	return nil
}
