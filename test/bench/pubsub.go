//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"sync"
	"time"
)

const (
	// liveBatch is how many messages a publisher has in one request.
	liveBatch = 1000
	// liveFans is how many subscribers the fan-out has, and livePace the messages a second at which delay is measured.
	liveFans, livePace = 8, 20_000
)

// listener counts the messages that a subscriber gets.
type listener interface {
	// read returns when n messages have come. each gets the data of every one.
	read(n int, each func(data []byte)) error
	close()
}

// mover is a messaging system with a publisher at one node and subscribers at others.
type mover interface {
	listen(ctx context.Context, subscriber int) (listener, error)
	// publish sends messages with these data.
	publish(data [][]byte) error
}

// measurePubSub measures live topics at one publisher, and the same with NATS, if its server is installed.
func measurePubSub(ctx context.Context, b *bench) error {
	c, err := b.servers(ctx)
	if err != nil {
		return err
	}
	var addrs []string
	for _, n := range c.Servers {
		addrs = append(addrs, n.HTTPAddr())
	}
	conn, err := dial(addrs[0])
	if err != nil {
		return err
	}
	defer conn.close()
	ours := &liveMover{conn: conn, addrs: addrs[1:]}
	var theirs *natsMover
	if path, err := exec.LookPath("nats-server"); err == nil {
		if theirs, err = startNATS(ctx, path); err != nil {
			return err
		}
		defer theirs.close()
	} else {
		b.progress("nats-server is not installed: debros is measured alone")
	}
	n := int(300_000 * b.size.round.Seconds() / 5)
	for _, m := range []struct {
		what   string
		fans   int
		target float64
	}{
		{"live publish, 1 publisher to 1 subscriber", 1, 100_000},
		{fmt.Sprintf("live publish, 1 publisher to %d subscribers, in all", liveFans), liveFans, 300_000},
	} {
		b.progress("%s", m.what)
		rate, err := moveRate(ctx, ours, m.fans, n)
		if err != nil {
			return err
		}
		w := row{What: m.what, Value: fmt.Sprintf("%.0f/s", rate), Measured: rate, Unit: "1/s", Target: m.target}
		if theirs != nil {
			nats, err := moveRate(ctx, theirs, m.fans, 4*n)
			if err != nil {
				return fmt.Errorf("nats-server: %w", err)
			}
			w.Value += fmt.Sprintf(" (NATS %.0f/s, %.2f of it)", nats, rate/nats)
		}
		b.report.add(w)
	}
	what := fmt.Sprintf("live publish, %d a second, delay to a subscriber", livePace)
	b.progress("%s", what)
	seconds := max(2, int(b.size.round.Seconds()))
	p50, p99, err := moveDelay(ctx, ours, seconds)
	if err != nil {
		return err
	}
	w := row{What: what, Value: fmt.Sprintf("p50 %s, p99 %s", round(p50), round(p99)), Measured: float64(p99.Microseconds()) / 1000, Unit: "ms", Target: 10, AtMost: true}
	if theirs != nil {
		n50, n99, err := moveDelay(ctx, theirs, seconds)
		if err != nil {
			return fmt.Errorf("nats-server: %w", err)
		}
		w.Value += fmt.Sprintf(" (NATS p50 %s, p99 %s)", round(n50), round(n99))
	}
	b.report.add(w)
	return nil
}

// listenAll makes listeners, to be closed by the second result.
func listenAll(ctx context.Context, m mover, fans int) (list []listener, done func(), err error) {
	done = func() {
		for _, l := range list {
			l.close()
		}
	}
	for i := range fans {
		l, err := m.listen(ctx, i)
		if err != nil {
			done()
			return nil, nil, err
		}
		list = append(list, l)
	}
	return list, done, nil
}

// moveRate is how many messages a second come, at all subscribers together.
func moveRate(ctx context.Context, m mover, fans, n int) (float64, error) {
	list, done, err := listenAll(ctx, m, fans)
	if err != nil {
		return 0, err
	}
	defer done()
	data := make([][]byte, liveBatch)
	for i := range data {
		data[i] = value()[:messageBytes]
	}
	start := time.Now()
	errs := make([]error, fans)
	var wg sync.WaitGroup
	for i, l := range list {
		wg.Go(func() { errs[i] = l.read(n, func([]byte) {}) })
	}
	for sent := 0; sent < n; sent += liveBatch {
		if err := m.publish(data[:min(liveBatch, n-sent)]); err != nil {
			return 0, err
		}
	}
	wg.Wait()
	return float64(fans*n) / time.Since(start).Seconds(), errors.Join(errs...)
}

// moveDelay is how long messages take at livePace, from before they are given to the system until a subscriber has them.
func moveDelay(ctx context.Context, m mover, seconds int) (p50, p99 time.Duration, err error) {
	list, done, err := listenAll(ctx, m, 1)
	if err != nil {
		return 0, 0, err
	}
	defer done()
	n := livePace * seconds
	laps := make([]time.Duration, 0, n)
	heard := make(chan error, 1)
	go func() {
		heard <- list[0].read(n, func(data []byte) {
			laps = append(laps, time.Duration(time.Now().UnixNano()-int64(binary.BigEndian.Uint64(data))))
		})
	}()
	// Two requests in three milliseconds at most: a publisher that batches what it has.
	const batch = 40
	list40 := make([][]byte, batch)
	start := time.Now()
	for sent := 0; sent < n; sent += batch {
		if wait := time.Until(start.Add(time.Duration(sent) * time.Second / livePace)); wait > 0 {
			time.Sleep(wait)
		}
		now := time.Now().UnixNano()
		for i := range list40 {
			list40[i] = append(binary.BigEndian.AppendUint64(nil, uint64(now)), value()[:messageBytes-8]...)
		}
		if err := m.publish(list40); err != nil {
			return 0, 0, err
		}
	}
	if err := <-heard; err != nil {
		return 0, 0, err
	}
	return quantile(laps, 0.5), quantile(laps, 0.99), nil
}

// liveMover is debros over HTTP.
type liveMover struct {
	conn  *conn
	addrs []string // of subscribers' agents
	body  []byte
}

func (m *liveMover) publish(data [][]byte) error {
	m.body = m.body[:0]
	for _, d := range data {
		m.body = append(m.body, `{"topic":"bench.live","data":"`...)
		m.body = append(base64.StdEncoding.AppendEncode(m.body, d), "\"}\n"...)
	}
	return m.conn.do("POST", "/v1/pubsub/publish?durable=false", m.body)
}

func (m *liveMover) listen(ctx context.Context, i int) (listener, error) {
	u := url.URL{Scheme: "http", Host: m.addrs[i%len(m.addrs)], Path: "/v1/pubsub/subscribe", RawQuery: "topic=bench.*&format=ndjson&queue=200000"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	reply, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if reply.StatusCode != http.StatusOK {
		reply.Body.Close()
		return nil, errors.New(reply.Status)
	}
	l := &liveListener{reply: reply, in: bufio.NewReaderSize(reply.Body, 256<<10)}
	_, err = l.in.ReadSlice('\n') // it is heard
	return l, err
}

type liveListener struct {
	reply *http.Response
	in    *bufio.Reader
}

func (l *liveListener) close() { l.reply.Body.Close() }

func (l *liveListener) read(n int, each func([]byte)) error {
	var data [messageBytes]byte
	for got := 0; got < n; {
		line, err := l.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if bytes.HasPrefix(line, []byte(`{"control"`)) {
			if !bytes.Contains(line, []byte("heartbeat")) {
				return fmt.Errorf("not complete: %s", line)
			}
			continue
		}
		at := bytes.LastIndex(line, []byte(`"data":"`)) + len(`"data":"`)
		if _, err := base64.StdEncoding.Decode(data[:], line[at:at+base64.StdEncoding.EncodedLen(messageBytes)]); err != nil {
			return err
		}
		each(data[:])
		got++
	}
	return nil
}
