package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/debros/debros/structs"
)

func kvRoutes() []route {
	return []route{
		{
			method: "GET", pattern: kvPrefix + "{key...}", handle: kvGet, errors: textErrors,
			doc:    "Read a key, the pairs or keys under a prefix, or their number.",
			params: "`recurse` pairs under the prefix; `keys` keys under it, `separator=` grouping them; `count` their number; `raw` the value alone; blocking and paging",
			reply:  "a list of pairs (`Value` in base64, null when empty); with `keys` a list of strings; with `count` `{\"Count\"}`; with `raw` the bytes",
		},
		{
			method: "PUT", pattern: kvPrefix + "{key...}", handle: kvPut, errors: textErrors,
			doc:    "Write a key.",
			params: "`flags=`; one of `cas=` (0 = only if missing), `acquire=` a session, `release=` a session; `ttl=` a duration after which the key is deleted",
			body:   "the value, as it is",
			reply:  "`true`, or `false` when the condition did not hold; after `acquire` the header X-Debros-Fencing-Token",
		},
		{
			method: "DELETE", pattern: kvPrefix + "{key...}", handle: kvDelete, errors: textErrors,
			doc:    "Delete a key or everything under a prefix.",
			params: "one of `recurse`, `cas=`",
			reply:  "`true`, or `false` when the condition did not hold",
		},
	}
}

func kvGet(c *call) error {
	key := c.param
	if err := checkKey(key); err != nil {
		return err
	}
	o, err := c.query()
	if err != nil {
		return err
	}
	switch {
	case c.flag("keys"):
		return kvKeys(c, o)
	case c.flag("count"):
		return kvCount(c, o)
	case c.flag("recurse"):
		return kvList(c, o)
	case key == "":
		return invalid("Missing key name")
	}
	req := structs.KeyRequest{QueryOptions: o, Key: key}
	var rep structs.KVGetReply
	if err := c.rpc("KV.Get", &req, &rep); err != nil {
		return err
	}
	c.meta(&rep.QueryMeta)
	if rep.Entry == nil {
		return c.notFound()
	}
	if c.flag("raw") {
		c.rawValue(rep.Entry.Value)
		return nil
	}
	return c.ok([]structs.KVPair{shown(rep.Entry)})
}

// notFound is Consul's answer for nothing: 404 with the index and no body.
func (c *call) notFound() error {
	c.w.WriteHeader(http.StatusNotFound)
	return nil
}

// rawValue sends a user's bytes so that no browser runs or renders them.
func (c *call) rawValue(v []byte) {
	hdr := c.w.Header()
	hdr.Set("Content-Type", "application/octet-stream")
	hdr.Set("Content-Security-Policy", "sandbox")
	hdr.Set("Content-Length", strconv.Itoa(len(v)))
	c.w.WriteHeader(http.StatusOK)
	c.w.Write(v)
}

// shown is the pair as JSON shows it: an empty value is null. The entry may be a row of the store
// itself and is left alone.
func shown(e *structs.KVPair) structs.KVPair {
	p := *e
	if len(p.Value) == 0 {
		p.Value = nil
	}
	return p
}

func kvCount(c *call, o structs.QueryOptions) error {
	var rep structs.KVCountReply
	if err := c.rpc("KV.Count", &structs.KVListRequest{QueryOptions: o, Prefix: c.param}, &rep); err != nil {
		return err
	}
	c.meta(&rep.QueryMeta)
	return c.ok(structs.KVCount{Count: rep.Count})
}

func kvPut(c *call) error {
	req, err := kvWriteRequest(c)
	if err != nil {
		return err
	}
	req.Op = structs.KVSet
	set := 0
	for _, name := range []string{"cas", "acquire", "release"} {
		if _, ok := c.params[name]; ok {
			set++
		}
	}
	if set > 1 {
		return invalid("Conflicting flags: give one of cas, acquire and release")
	}
	if cas, ok, err := c.uint("cas"); err != nil {
		return err
	} else if ok {
		req.Op, req.KV.ModifyIndex = structs.KVCAS, cas
	}
	if s, ok := c.params["acquire"]; ok {
		req.Op, req.KV.Session = structs.KVLock, s[0]
	}
	if s, ok := c.params["release"]; ok {
		req.Op, req.KV.Session = structs.KVUnlock, s[0]
	}
	if req.KV.Flags, _, err = c.uint("flags"); err != nil {
		return err
	}
	if req.TTL, err = ttl(c); err != nil {
		return err
	}
	if req.KV.Value, err = c.body(c.h.limits().ValueBytesMax, "limits.kv_value_bytes_max"); err != nil {
		return err
	}
	return kvApply(c, req)
}

func kvDelete(c *call) error {
	tree := c.flag("recurse")
	var req *structs.KVRequest
	var err error
	if tree {
		req, err = &structs.KVRequest{WriteOptions: c.write(), KV: structs.KVPair{Key: c.param}}, checkKey(c.param)
	} else {
		req, err = kvWriteRequest(c)
	}
	if err != nil {
		return err
	}
	cas, withCAS, err := c.uint("cas")
	switch {
	case err != nil:
		return err
	case tree && withCAS:
		return invalid("Conflicting flags: give one of recurse and cas")
	case tree:
		req.Op = structs.KVDeleteTree
	case withCAS:
		req.Op, req.KV.ModifyIndex = structs.KVDeleteCAS, cas
	default:
		req.Op = structs.KVDelete
	}
	return kvApply(c, req)
}

func kvWriteRequest(c *call) (*structs.KVRequest, error) {
	if c.param == "" {
		return nil, invalid("Missing key name")
	}
	return &structs.KVRequest{WriteOptions: c.write(), KV: structs.KVPair{Key: c.param}}, checkKey(c.param)
}

func kvApply(c *call, req *structs.KVRequest) error {
	var rep structs.KVReply
	if err := c.rpc("KV.Apply", req, &rep); err != nil {
		return asConsulFault(err)
	}
	c.index(rep.Index)
	if rep.OK && rep.FencingToken > 0 {
		c.w.Header().Set("X-Debros-Fencing-Token", strconv.FormatUint(rep.FencingToken, 10))
	}
	return c.ok(rep.OK)
}

// ttl reads ?ttl= as nanoseconds; 0 = none was given.
func ttl(c *call) (int64, error) {
	text, ok := c.params["ttl"]
	if !ok {
		return 0, nil
	}
	d, err := time.ParseDuration(text[0])
	if err != nil || d <= 0 {
		return 0, invalid(`ttl=%q is not a duration above 0 such as "30s"`, shorten(text[0]))
	}
	return int64(d), nil
}
