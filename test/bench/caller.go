//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/api"
)

// callTimeout bounds one request of the load.
const callTimeout = 30 * time.Second

// conn is a keep-alive HTTP/1.1 connection that does only what the bench needs. The load generator
// shares the cores with the servers; net/http on this side would cost as much as theirs.
type conn struct {
	c     net.Conn
	r     *bufio.Reader
	addr  string
	buf   []byte
	armed time.Time // when the deadline was set last
}

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, callTimeout)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, r: bufio.NewReader(c), addr: addr}, nil
}

// do sends one request and reads the reply to its end; a status other than 200 is an error.
func (c *conn) do(method, path string, body []byte) error {
	c.buf = append(c.buf[:0], method...)
	c.buf = append(c.buf, ' ')
	c.buf = append(c.buf, path...)
	c.buf = append(c.buf, " HTTP/1.1\r\nHost: "...)
	c.buf = append(c.buf, c.addr...)
	if method == "POST" {
		c.buf = append(c.buf, "\r\nContent-Type: application/json"...)
	}
	if body != nil {
		c.buf = append(c.buf, "\r\nContent-Length: "...)
		c.buf = strconv.AppendInt(c.buf, int64(len(body)), 10)
	}
	c.buf = append(c.buf, "\r\n\r\n"...)
	c.buf = append(c.buf, body...)
	// Setting a deadline costs as much as the rest of this function, so it is done now and then.
	if now := time.Now(); now.Sub(c.armed) > callTimeout/4 {
		if err := c.c.SetDeadline(now.Add(callTimeout)); err != nil {
			return err
		}
		c.armed = now
	}
	if _, err := c.c.Write(c.buf); err != nil {
		return err
	}
	return c.reply(method, path)
}

func (c *conn) reply(method, path string) error {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	good, status := bytes.Contains(line, []byte(" 200 ")), ""
	if !good {
		status = string(bytes.TrimSpace(line))
	}
	length, chunked := -1, false
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	if chunked && good {
		return c.discardChunks()
	}
	if length < 0 {
		return errors.New("a reply without Content-Length")
	}
	if !good {
		text := make([]byte, min(length, 300))
		_, _ = io.ReadFull(c.r, text)
		return fmt.Errorf("%s %s: %s: %s", method, path, status, text)
	}
	_, err = c.r.Discard(length)
	return err
}

// discardChunks reads a chunked body to its end.
func (c *conn) discardChunks() error {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(line), 16, 32)
		if err != nil {
			return fmt.Errorf("length of a chunk: %w", err)
		}
		if _, err := c.r.Discard(int(n) + len("\r\n")); err != nil || n == 0 {
			return err
		}
	}
}

func (c *conn) close() { c.c.Close() }

// value is what every put writes.
func value() []byte {
	v := make([]byte, valueBytes)
	rand.Read(v) // never fails (crypto/rand)
	return v
}

// putKeys is how many keys each caller writes in turn: the state stays small, rows are replaced.
const putKeys = 1000

func putPath(caller, n int) string { return fmt.Sprintf("bench/%d/%d", caller, n%putKeys) }

// rawPuts makes callers that put over a connection of their own.
func rawPuts(addr string) func(int) (func() error, func(), error) {
	return func(i int) (func() error, func(), error) {
		c, err := dial(addr)
		if err != nil {
			return nil, nil, err
		}
		v, n := value(), 0
		paths := make([]string, putKeys)
		for k := range paths {
			paths[k] = "/v1/kv/" + putPath(i, k)
		}
		return func() error { n++; return c.do("PUT", paths[n%putKeys], v) }, c.close, nil
	}
}

// apiPuts makes callers that put with the Go client.
func apiPuts(ctx context.Context, addr string) (func(int) (func() error, func(), error), error) {
	client, err := api.New(api.Config{Address: addr, Retry: api.RetryPolicy{Max: -1}})
	if err != nil {
		return nil, err
	}
	return func(i int) (func() error, func(), error) {
		v, n := value(), 0
		return func() error {
			n++
			_, err := client.KV().Put(ctx, &api.KVPair{Key: putPath(i, n), Value: v}, nil)
			return err
		}, func() {}, nil
	}, nil
}

// getKeys is how many keys are read in turn.
const getKeys = 1000

func getPath(n int) string { return fmt.Sprintf("bench-get/%d", n%getKeys) }

// rawGets makes callers that get over a connection of their own; query is "" or "?stale".
func rawGets(addr, query string) func(int) (func() error, func(), error) {
	return func(i int) (func() error, func(), error) {
		c, err := dial(addr)
		if err != nil {
			return nil, nil, err
		}
		n := i * getKeys / 64
		return func() error { n++; return c.do("GET", "/v1/kv/"+getPath(n)+query, nil) }, c.close, nil
	}
}
