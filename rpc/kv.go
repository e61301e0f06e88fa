package rpc

import (
	"context"
	"strings"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
	"github.com/hashicorp/go-memdb"
)

func (s *service) kvMethods() []transport.Method {
	return []transport.Method{
		write(s, "KV.Apply", s.kvApply),
		read(s, "KV.Get", s.kvGet),
		read(s, "KV.List", s.kvList),
		read(s, "KV.Keys", s.kvKeys),
		read(s, "KV.Count", s.kvCount),
	}
}

func (s *service) kvApply(ctx context.Context, c call, req *structs.KVRequest, rep *structs.KVReply) error {
	if err := mayWriteKV(c, req.Op, req.KV.Key); err != nil {
		return err
	}
	if err := checkKV(req.Op, &req.KV, req.TTL, s.b.Limits().withDefaults()); err != nil {
		return err
	}
	r, index, err := propose[structs.KVReply](ctx, s, structs.CommandKV, &structs.KVRequest{
		WriteOptions: logged(c), Op: req.Op, KV: proposable(req.KV, c.ns), TTL: req.TTL,
	})
	if err != nil {
		return err
	}
	*rep = *r
	rep.Index = index
	return nil
}

// mayWriteKV asks the authorizer about a write verb.
func mayWriteKV(c call, op structs.KVOp, key string) error {
	if op == structs.KVDeleteTree {
		if !c.may.KVWritePrefix(c.ns, key) {
			return denied("key_prefix:write", key)
		}
	} else if !c.may.KVWrite(c.ns, key) {
		return denied("key:write", key)
	}
	return nil
}

func (s *service) kvGet(ctx context.Context, c call, req *structs.KeyRequest, rep *structs.KVGetReply) error {
	if !c.may.KVRead(c.ns, req.Key) {
		return denied("key:read", req.Key)
	}
	if err := checkKey(req.Key); err != nil {
		return err
	}
	return s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		idx, rep.Entry = s.b.State().KVGet(ws, c.ns, req.Key)
		return idx, rep.Entry != nil
	})
}

// enterList is what the three reads of a prefix have in common.
func enterList(c call, req *structs.KVListRequest) (after string, err error) {
	if !c.may.KVList(c.ns, req.Prefix) {
		return "", denied("key_prefix:list", req.Prefix)
	}
	if err := checkPrefix(req.Prefix); err != nil {
		return "", err
	}
	return decodeToken(req.NextToken, req.Prefix)
}

func (s *service) kvList(ctx context.Context, c call, req *structs.KVListRequest, rep *structs.KVListReply) error {
	after, err := enterList(c, req)
	if err != nil {
		return err
	}
	return s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		idx, rep.Entries, rep.NextToken = pager[*structs.KVPair]{
			fetch: func(after string, limit int) (uint64, []*structs.KVPair, bool) {
				return s.b.State().KVList(ws, c.ns, req.Prefix, after, limit)
			},
			key:  func(e *structs.KVPair) string { return e.Key },
			see:  func(e *structs.KVPair) bool { return c.may.KVRead(c.ns, e.Key) },
			size: func(e *structs.KVPair) int { return len(e.Key) + len(e.Value) },
		}.page(perPage(&req.QueryOptions), after)
		return idx, len(rep.Entries) > 0
	})
}

func (s *service) kvKeys(ctx context.Context, c call, req *structs.KVListRequest, rep *structs.KVKeysReply) error {
	after, err := enterList(c, req)
	if err != nil {
		return err
	}
	if len(req.Separator) > separatorBytesMax || !printable(req.Separator) {
		return structs.Errorf(structs.KindInvalid, "invalid separator %q", clip(req.Separator))
	}
	// A group ("a/" for all below it) stands for keys it does not name: seeing it is listing.
	see := func(key string) bool {
		if req.Separator != "" && strings.HasSuffix(key, req.Separator) {
			return c.may.KVList(c.ns, key)
		}
		return c.may.KVRead(c.ns, key)
	}
	return s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		idx, rep.Keys, rep.NextToken = pager[string]{
			fetch: func(after string, limit int) (uint64, []string, bool) {
				return s.b.State().KVKeys(ws, c.ns, req.Prefix, req.Separator, after, limit)
			},
			key:  func(k string) string { return k },
			see:  see,
			size: func(k string) int { return len(k) },
		}.page(perPage(&req.QueryOptions), after)
		return idx, len(rep.Keys) > 0
	})
}

// kvCount counts every key under the prefix, readable or not: whoever may list may know how many.
func (s *service) kvCount(ctx context.Context, c call, req *structs.KVListRequest, rep *structs.KVCountReply) error {
	if _, err := enterList(c, req); err != nil {
		return err
	}
	return s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		idx, rep.Count = s.b.State().KVCount(ws, c.ns, req.Prefix)
		return idx, rep.Count > 0
	})
}

// logged are the options that go into the log: the namespace, and never the token.
func logged(c call) structs.WriteOptions { return structs.WriteOptions{Namespace: c.ns} }
