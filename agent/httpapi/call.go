package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/debros/debros/structs"
)

// call is one request on its way through a handler, its manners already checked.
type call struct {
	h      *Handler
	w      *response
	r      *http.Request
	id     string     // request id
	params url.Values // query
	param  string     // what the pattern's {name} matched, decoded
	text   bool       // errors as text/plain
	basic  bool       // a password is a token
	reads  bool       // nothing is changed
	token  string
	ns     structs.Namespace // "" = the token's own, else default
	dc     string
}

// response remembers what was sent, for the access log and for errors that come too late.
type response struct {
	http.ResponseWriter
	status int
	bytes  int64
	gone   bool // the client went away before the reply
}

func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *response) started() bool               { return w.status != 0 }

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// body reads the whole body, at most limit bytes of it.
func (c *call) body(limit int64, knob string) ([]byte, error) {
	if err := c.refuseLong(limit, knob); err != nil {
		return nil, err
	}
	if n := c.r.ContentLength; n >= 0 && n <= bodyAtOnce { // else a client could have memory set aside for what it never sends
		b := make([]byte, n)
		_, err := io.ReadFull(c.r.Body, b)
		return b, c.bodyError(err, limit, knob)
	}
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, limit))
	return b, c.bodyError(err, limit, knob)
}

// bodyAtOnce is up to which declared length a body has its room before it comes.
const bodyAtOnce = 64 << 10

// refuseLong turns away a body whose declared length is over the limit, before reading any of it.
func (c *call) refuseLong(limit int64, knob string) error {
	if c.r.ContentLength > limit {
		c.w.Header().Set("Connection", "close") // else the server would read on to save the connection
		return tooLong(limit, knob)
	}
	return nil
}

func (c *call) bodyError(err error, limit int64, knob string) error {
	var tooBig *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooBig):
		return tooLong(limit, knob)
	}
	return invalid("the request body could not be read to its end")
}

func tooLong(limit int64, knob string) error {
	// Terraform stores a state in pieces when the error says "too large".
	e := structs.Errorf(structs.KindTooLarge, "the request body is too large: the limit is %d bytes", limit)
	if knob != "" {
		e = e.WithHint("the limit is %s in the agent's configuration", knob)
	}
	return e
}

// decode reads a JSON body into v; an empty body leaves v as it is. Field names are matched in any
// case and unknown ones ignored, as Consul does.
func (c *call) decode(v any) error {
	b, err := c.body(smallBodyBytesMax, "")
	if err != nil || len(b) == 0 {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return invalid("the request body is not the JSON expected here: %v", err)
	}
	return nil
}

// meta sets the headers that come with every read.
func (c *call) meta(m *structs.QueryMeta) {
	c.index(max(m.Index, 1)) // a client that got 0 would poll without blocking
	hdr := c.w.Header()
	hdr.Set("X-Consul-KnownLeader", strconv.FormatBool(m.KnownLeader))
	hdr.Set("X-Consul-LastContact", strconv.FormatInt(m.LastContact.Milliseconds(), 10))
	if m.NextToken != "" {
		hdr.Set("X-Debros-NextToken", m.NextToken)
	}
}

// index sets the index headers; 0 (nothing was written) sets none.
func (c *call) index(i uint64) {
	if i == 0 {
		return
	}
	text := []string{strconv.FormatUint(i, 10)}
	hdr := c.w.Header() // written to as a map: the names have their final form
	hdr["X-Consul-Index"], hdr["X-Debros-Index"] = text, text
}

// Values of headers that are in most answers; nobody changes them.
var (
	contentJSON = []string{"application/json"}
	noSniff     = []string{"nosniff"}
	noStore     = []string{"no-store"}
)

// json answers with v; use stream for lists that may be long.
func (c *call) json(status int, v any) error {
	var b []byte
	var err error
	if yes, ok := v.(bool); ok { // what most writes answer
		b = strconv.AppendBool(make([]byte, 0, 8), yes)
	} else if b, err = c.marshal(v, ""); err != nil {
		return fmt.Errorf("encode reply: %w", err)
	}
	c.w.Header()["Content-Type"] = contentJSON
	c.w.WriteHeader(status)
	if c.pretty() {
		b = append(b, '\n')
	}
	c.w.Write(b) // a client that is gone is no error of ours
	return nil
}

func (c *call) ok(v any) error { return c.json(http.StatusOK, v) }

func (c *call) pretty() bool { return c.flag("pretty") }

func (c *call) marshal(v any, prefix string) ([]byte, error) {
	if c.pretty() {
		return encodeJSON(v, prefix, "    ")
	}
	return encodeJSON(v, "", "")
}

// encodeJSON writes JSON as it reads best: no browser takes a reply for HTML, so < and > need no escapes.
func encodeJSON(v any, prefix, indent string) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent(prefix, indent)
	err := enc.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// flag reports whether the parameter is there; "false" and "0" count as absent, so that nobody
// deletes a tree with ?recurse=false.
func (c *call) flag(name string) bool {
	v, ok := c.params[name]
	return ok && v[0] != "false" && v[0] != "0"
}

// uint reads an unsigned parameter; present tells 0 from absent.
func (c *call) uint(name string) (v uint64, present bool, err error) {
	text, ok := c.params[name]
	if !ok {
		return 0, false, nil
	}
	v, perr := strconv.ParseUint(text[0], 10, 64)
	if perr != nil {
		return 0, false, invalid("%s=%q is not a whole number from 0 to 18446744073709551615", name, shorten(text[0]))
	}
	return v, true, nil
}

// write is the options of a write.
func (c *call) write() structs.WriteOptions {
	return structs.WriteOptions{Token: c.token, Namespace: c.ns, Datacenter: c.dc}
}

// agentMay asks whether the token may do op to this agent.
func (c *call) agentMay(op AgentOp) error {
	return c.h.b.Authorize(c.r.Context(), c.token, op)
}

// rpc calls an endpoint; a request that may wait counts as a watch meanwhile. The later pages of a
// list do not: their index is there already.
func (c *call) rpc(method string, req, reply any) error {
	if q, ok := req.(interface{ Query() *structs.QueryOptions }); ok {
		if o := q.Query(); o.Index > 0 || o.MinIndex > 0 && o.NextToken == "" {
			done, err := c.h.watch(c)
			if err != nil {
				return err
			}
			defer done()
		}
	}
	return c.h.b.RPC(c.r.Context(), method, req, reply)
}

// extendDeadline gives a slow reader of a long reply some more time.
func (c *call) extendDeadline() {
	// Not every transport has deadlines; those that have none end with their context.
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(streamWriteTimeout))
}

// send writes a part of a reply that has no end in sight, in pieces that even a slow reader takes in time.
func (c *call) send(data []byte, piece int) error {
	for len(data) > 0 {
		c.extendDeadline()
		n, err := c.w.Write(data[:min(len(data), piece)])
		if err != nil {
			c.w.gone = true
			return context.Canceled
		}
		data = data[n:]
	}
	if http.NewResponseController(c.w).Flush() != nil {
		c.w.gone = true
		return context.Canceled
	}
	return nil
}

func (c *call) clearDeadline() {
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Time{})
}
