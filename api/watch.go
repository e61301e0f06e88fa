package api

import (
	"context"
	"iter"
)

// pageSize is how many pairs Pairs asks for at a time.
const pageSize = 500

// Pairs reads every pair whose key begins with prefix, in key order and page by page (of
// QueryOptions.PerPage, default 500), so that memory does not grow with their number. Each page is
// one consistent read, the whole is not. An error is the last thing it yields.
func (k *KV) Pairs(ctx context.Context, prefix string, o *QueryOptions) iter.Seq2[*KVPair, error] {
	return func(yield func(*KVPair, error) bool) {
		q := copyOptions(o)
		if q.PerPage <= 0 {
			q.PerPage = pageSize
		}
		for {
			pairs, m, err := k.List(ctx, prefix, q)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, p := range pairs {
				if !yield(p, nil) {
					return
				}
			}
			if m.NextToken == "" {
				return
			}
			q.NextToken, q.MinIndex = m.NextToken, 0
		}
	}
}

// Watch yields the key's pair as it is now and then after every change, nil when it does not exist.
// Changes that follow each other quickly may be yielded as one.
//
// An error is yielded with a nil pair. If it may pass (ErrNoLeader, ErrUnavailable, …) and the
// caller's loop goes on, Watch tries again after a growing pause; any other ends the loop. The loop
// ends without an error when ctx does.
func (k *KV) Watch(ctx context.Context, key string, o *QueryOptions) iter.Seq2[*KVPair, error] {
	return watch(ctx, k.c, o, func() readFunc[*KVPair] {
		seen, first := uint64(0), true
		return func(q *QueryOptions) (*KVPair, *QueryMeta, bool, error) {
			p, m, err := k.Get(ctx, key, q)
			if err != nil {
				return nil, m, false, err
			}
			index := uint64(0)
			if p != nil {
				index = p.ModifyIndex
			}
			changed := first || index != seen
			first, seen = false, index
			return p, m, changed, nil
		}
	})
}

// WatchPrefix yields all pairs under the prefix as they are now and then after every change, in key
// order. Errors are as in Watch.
func (k *KV) WatchPrefix(ctx context.Context, prefix string, o *QueryOptions) iter.Seq2[[]*KVPair, error] {
	return watch(ctx, k.c, o, func() readFunc[[]*KVPair] {
		seen := uint64(0)
		return func(q *QueryOptions) ([]*KVPair, *QueryMeta, bool, error) {
			ps, m, err := k.List(ctx, prefix, q)
			if err != nil {
				return nil, m, false, err
			}
			changed := m.Index != seen
			seen = m.Index
			return ps, m, changed, nil
		}
	})
}

// readFunc is one read of a watch; changed says whether there is something new to yield.
type readFunc[T any] func(*QueryOptions) (v T, m *QueryMeta, changed bool, err error)

// watch runs a blocking read again and again and yields what changed.
func watch[T any](ctx context.Context, c *Client, o *QueryOptions, begin func() readFunc[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		q := copyOptions(o)
		q.PerPage, q.NextToken = 0, ""
		read := begin() // each range over the sequence sees everything from the start
		failures := 0
		for ctx.Err() == nil {
			v, m, changed, err := read(q)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				if !yield(v, err) || !temporary(err) || sleep(ctx, c.retry.pause(failures)) != nil {
					return
				}
				failures++
				q.Index = 0 // the state may have been replaced meanwhile
				continue
			}
			failures = 0
			if changed && !yield(v, nil) {
				return
			}
			q.Index = nextIndex(q.Index, m.Index)
			q.MinIndex = 0
		}
	}
}

// nextIndex is the index to block on after a read at index last answered with now. An index that
// goes backwards means that the state was restored from a snapshot: begin again.
func nextIndex(last, now uint64) uint64 {
	if now < last {
		return 0
	}
	return max(now, 1)
}

func copyOptions(o *QueryOptions) *QueryOptions {
	if o == nil {
		return &QueryOptions{}
	}
	c := *o
	return &c
}
