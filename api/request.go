package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// retryAfterMax bounds how long a Retry-After is believed.
const retryAfterMax = 30 * time.Second

// request is one call on its way to the agent.
type request struct {
	method      string
	path        string // escaped
	params      url.Values
	token       string
	body        []byte    // may be sent more than once
	stream      io.Reader // instead of body: sent at most once
	contentType string
	isWrite     bool
	repeatable  bool // a write that may be repeated even after it was sent
	streaming   bool // the reply has no end in sight: no timeout
	block       time.Duration
}

func (c *Client) newRequest(method, path string) *request {
	r := &request{method: method, path: path, params: url.Values{}, token: c.token}
	set(r.params, "ns", c.namespace)
	set(r.params, "dc", c.datacenter)
	return r
}

// send makes the call, repeats it as the package comment says, and returns a reply with a status
// below 300, or 404 or 409 if the caller lists them in also. The caller closes the body.
func (c *Client) send(ctx context.Context, r *request, also ...int) (*http.Response, error) {
	began := time.Now()
	for n := 0; ; n++ {
		reply, retryAfter, err := c.attempt(ctx, r, also)
		if err == nil {
			return reply, nil
		}
		if n >= c.retry.Max || !r.mayRepeat(err) || ctx.Err() != nil {
			return nil, err
		}
		if c.retry.Within > 0 && time.Since(began) > c.retry.Within {
			return nil, err
		}
		if sleep(ctx, max(c.retry.pause(n), min(retryAfter, retryAfterMax))) != nil {
			return nil, err
		}
	}
}

// mayRepeat holds the rule of the package comment.
func (r *request) mayRepeat(err *Error) bool {
	if r.stream != nil {
		return false
	}
	switch err.Kind {
	case KindRateLimited, KindNoLeader, KindUnavailable:
		return true // these did nothing
	case KindUnknownResult:
		return !r.isWrite || r.repeatable
	}
	return false
}

// pause is the pause before repetition n, from 0.
func (p RetryPolicy) pause(n int) time.Duration {
	d := p.WaitMax
	if n < 30 {
		d = min(d, p.WaitMin<<n)
	}
	return d/2 + rand.N(d/2+1)
}

// sleep waits for d or until ctx ends, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt makes the call once.
func (c *Client) attempt(ctx context.Context, r *request, also []int) (*http.Response, time.Duration, *Error) {
	caller := ctx
	cancel := context.CancelFunc(func() {})
	if c.timeout > 0 && !r.streaming {
		ctx, cancel = context.WithTimeoutCause(ctx, c.timeout+r.block, fmt.Errorf("no answer within %s", c.timeout+r.block))
	}
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// Headers are buffered and written with the body: from here on some of it may have left.
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	})
	req, err := c.httpRequest(ctx, r)
	if err != nil {
		cancel()
		return nil, 0, errorf(KindInvalid, "make request: %v", err)
	}
	reply, err := c.http.Do(req)
	if err != nil {
		e := wayError(ctx, err, c.base.Host, r.isWrite, sent.Load() && !refused(err))
		if caller.Err() == nil && e.Kind == KindCanceled {
			e.Kind = KindUnavailable // our timeout, not the caller's
		}
		cancel()
		return nil, 0, e
	}
	if reply.StatusCode < 300 || contains(also, reply.StatusCode) {
		reply.Body = &body{reply.Body, cancel}
		return reply, 0, nil
	}
	e := replyError(reply)
	reply.Body.Close()
	cancel()
	secs, _ := strconv.Atoi(reply.Header.Get("Retry-After"))
	return nil, time.Duration(secs) * time.Second, e
}

// refused reports whether there never was a connection for requests.
func refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || certificateRefused(err)
}

func contains(list []int, n int) bool {
	for _, m := range list {
		if m == n {
			return true
		}
	}
	return false
}

// body ends the call's context when the reply has been read.
type body struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}

func (c *Client) httpRequest(ctx context.Context, r *request) (*http.Request, error) {
	u := c.base
	path, err := url.PathUnescape(r.path)
	if err != nil {
		return nil, err
	}
	u.Path, u.RawPath, u.RawQuery = path, r.path, r.params.Encode()
	var rd io.Reader
	switch {
	case r.stream != nil:
		rd = r.stream
	case r.body != nil:
		rd = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), rd)
	if err != nil {
		return nil, err
	}
	if r.token != "" {
		req.Header.Set("X-Debros-Token", r.token)
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	req.Header.Set("User-Agent", "debros-api-go")
	return req, nil
}

// json sets the body to v.
func (r *request) json(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return errorf(KindInvalid, "encode request: %v", err)
	}
	r.body, r.contentType = b, "application/json"
	return nil
}

// get reads JSON into out. found is false on 404, whose body is not read.
func (c *Client) get(ctx context.Context, path string, o *QueryOptions, out any, params ...string) (found bool, m *QueryMeta, err error) {
	r := c.newRequest(http.MethodGet, path)
	r.query(o)
	for i := 0; i+1 < len(params); i += 2 {
		r.params.Set(params[i], params[i+1])
	}
	start := time.Now()
	reply, err := c.send(ctx, r, http.StatusNotFound)
	if err != nil {
		return false, nil, err
	}
	defer reply.Body.Close()
	m = queryMeta(reply.Header, time.Since(start))
	if reply.StatusCode == http.StatusNotFound {
		if m.Index == 0 { // not an answer about data: the route itself is unknown
			return false, m, replyError(reply)
		}
		return false, m, nil
	}
	return true, m, c.decode(reply, out, KindUnavailable)
}

// put writes; the reply's JSON goes into out unless that is nil.
func (c *Client) put(ctx context.Context, r *request, o *WriteOptions, out any) (*WriteMeta, error) {
	r.write(o)
	start := time.Now()
	reply, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	m := &WriteMeta{Index: replyIndex(reply.Header), RequestTime: time.Since(start)}
	if out == nil {
		_, err = io.Copy(io.Discard, reply.Body)
		return m, c.cut(err, KindUnknownResult)
	}
	return m, c.decode(reply, out, KindUnknownResult)
}

// decode reads the reply's JSON to its end, so that the connection can be used again. A reply that
// ends early is an error of the given kind.
func (c *Client) decode(reply *http.Response, out any, k Kind) error {
	err := json.NewDecoder(reply.Body).Decode(out)
	if _, optional := out.(*json.RawMessage); optional && errors.Is(err, io.EOF) {
		err = nil // an empty body will do
	}
	if err == nil {
		_, err = io.Copy(io.Discard, reply.Body)
	}
	return c.cut(err, k)
}

// cut is the error of a reply that could not be read to its end, nil for nil.
func (c *Client) cut(err error, k Kind) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, Message: fmt.Sprintf("read reply of the agent at %s: %v", c.base.Host, err), cause: err}
}
