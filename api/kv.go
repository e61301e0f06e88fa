package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// KVPair is a key with its value.
type KVPair struct {
	LockIndex   uint64 // times the key was locked since it was created
	Key         string
	Flags       uint64 // the caller's own
	Value       []byte // an empty value comes back as nil
	Session     string `json:",omitempty"` // holder of the lock
	Namespace   string `json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
	// FencingToken grows with every acquisition of the key, for ever. Hand it to what the lock
	// protects: who remembers the highest one seen can refuse a late former holder.
	FencingToken uint64 `json:",omitempty"`
	// ExpiresAt is when the key vanishes, Unix nanoseconds; 0 = never.
	ExpiresAt int64 `json:",omitempty"`
}

// Expires is ExpiresAt as a time; false when the key does not expire.
func (p *KVPair) Expires() (time.Time, bool) {
	return time.Unix(0, p.ExpiresAt), p.ExpiresAt != 0
}

// KV reads and writes keys. A key is any printable UTF-8 that does not begin with '/' and has no
// "//", "/./" or "/../" in it; others are refused with ErrInvalid.
type KV struct{ c *Client }

// kvPath is the escaped path of a key or prefix.
func kvPath(key string) string { return (&url.URL{Path: "/v1/kv/" + key}).EscapedPath() }

// Get reads one key; the pair is nil when it does not exist.
func (k *KV) Get(ctx context.Context, key string, o *QueryOptions) (*KVPair, *QueryMeta, error) {
	if err := needKey(key); err != nil {
		return nil, nil, err
	}
	var pairs []*KVPair
	found, m, err := k.c.get(ctx, kvPath(key), o, &pairs)
	if err != nil || !found || len(pairs) == 0 {
		return nil, m, err
	}
	return pairs[0], m, nil
}

// Exists reports whether the key exists.
func (k *KV) Exists(ctx context.Context, key string, o *QueryOptions) (bool, *QueryMeta, error) {
	p, m, err := k.Get(ctx, key, o)
	return p != nil, m, err
}

// List reads every pair whose key begins with prefix, in key order; a page of them where PerPage is
// set. For many keys, Pairs needs less memory.
func (k *KV) List(ctx context.Context, prefix string, o *QueryOptions) ([]*KVPair, *QueryMeta, error) {
	var pairs []*KVPair
	_, m, err := k.c.get(ctx, kvPath(prefix), o, &pairs, "recurse", "")
	return pairs, m, err
}

// Keys reads the keys that begin with prefix, in order. With a separator, what follows its first
// occurrence after the prefix is cut off and each such group is named once.
func (k *KV) Keys(ctx context.Context, prefix, separator string, o *QueryOptions) ([]string, *QueryMeta, error) {
	var keys []string
	params := []string{"keys", ""}
	if separator != "" {
		params = append(params, "separator", separator)
	}
	_, m, err := k.c.get(ctx, kvPath(prefix), o, &keys, params...)
	return keys, m, err
}

// Count is the number of keys that begin with prefix.
func (k *KV) Count(ctx context.Context, prefix string, o *QueryOptions) (int64, *QueryMeta, error) {
	var raw json.RawMessage
	found, m, err := k.c.get(ctx, kvPath(prefix), o, &raw, "count", "")
	if err != nil || !found {
		return 0, m, err
	}
	var n int64
	if json.Unmarshal(raw, &n) == nil {
		return n, m, nil
	}
	var obj struct{ Count int64 }
	if err := json.Unmarshal(raw, &obj); err != nil {
		return 0, m, errorf(KindUnsupported, "count keys: the agent does not know how")
	}
	return obj.Count, m, nil
}

// Put sets p.Key to p.Value and p.Flags, whatever is there.
func (k *KV) Put(ctx context.Context, p *KVPair, o *WriteOptions) (*WriteMeta, error) {
	_, m, err := k.set(ctx, p, o, "", "")
	return m, err
}

// CAS sets the key only if its ModifyIndex is p.ModifyIndex (0: only if it does not exist). False
// without an error means that it was not.
func (k *KV) CAS(ctx context.Context, p *KVPair, o *WriteOptions) (bool, *WriteMeta, error) {
	return k.set(ctx, p, o, "cas", strconv.FormatUint(p.ModifyIndex, 10))
}

// Acquire sets the key and locks it for p.Session. False without an error means that another
// session holds it, or that its lock-delay has not passed.
func (k *KV) Acquire(ctx context.Context, p *KVPair, o *WriteOptions) (bool, *WriteMeta, error) {
	return k.set(ctx, p, o, "acquire", p.Session)
}

// Release sets the key and gives up p.Session's lock on it. False without an error means that the
// session did not hold it.
func (k *KV) Release(ctx context.Context, p *KVPair, o *WriteOptions) (bool, *WriteMeta, error) {
	return k.set(ctx, p, o, "release", p.Session)
}

func (k *KV) set(ctx context.Context, p *KVPair, o *WriteOptions, condition, value string) (bool, *WriteMeta, error) {
	if err := needKey(p.Key); err != nil {
		return false, nil, err
	}
	if o != nil && o.TTL < 0 {
		return false, nil, errorf(KindInvalid, "the TTL %s is negative", o.TTL)
	}
	r := k.c.newRequest(http.MethodPut, kvPath(p.Key))
	r.body, r.contentType = p.Value, "application/octet-stream"
	if p.Flags != 0 {
		r.params.Set("flags", strconv.FormatUint(p.Flags, 10))
	}
	if condition != "" {
		r.params.Set(condition, value)
	}
	r.ttl(o)
	var ok bool
	m, err := k.c.put(ctx, r, o, &ok)
	return ok, m, err
}

// Delete deletes one key; that it does not exist is no error.
func (k *KV) Delete(ctx context.Context, key string, o *WriteOptions) (*WriteMeta, error) {
	if err := needKey(key); err != nil {
		return nil, err
	}
	return k.c.put(ctx, k.c.newRequest(http.MethodDelete, kvPath(key)), o, nil)
}

// DeleteCAS deletes the key only if its ModifyIndex is p.ModifyIndex. False without an error means
// that it was not; a key that does not exist answers true.
func (k *KV) DeleteCAS(ctx context.Context, p *KVPair, o *WriteOptions) (bool, *WriteMeta, error) {
	if err := needKey(p.Key); err != nil {
		return false, nil, err
	}
	r := k.c.newRequest(http.MethodDelete, kvPath(p.Key))
	r.params.Set("cas", strconv.FormatUint(p.ModifyIndex, 10))
	var ok bool
	m, err := k.c.put(ctx, r, o, &ok)
	return ok, m, err
}

// DeleteTree deletes every key that begins with prefix; "" deletes them all.
func (k *KV) DeleteTree(ctx context.Context, prefix string, o *WriteOptions) (*WriteMeta, error) {
	r := k.c.newRequest(http.MethodDelete, kvPath(prefix))
	r.params.Set("recurse", "")
	return k.c.put(ctx, r, o, nil)
}

func needKey(key string) error {
	if key == "" {
		return errorf(KindInvalid, "a key must not be empty")
	}
	return nil
}
