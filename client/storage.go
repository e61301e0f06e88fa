package client

import (
	"context"
	"fmt"

	"github.com/debros/debros/api"
)

// StorageClient is the application's key-value store (N63). Its keys are those of the application's namespace.
type StorageClient interface {
	// Get reads a value. A key that does not exist is an api.ErrNotFound, "key not found: K".
	Get(ctx context.Context, key string) ([]byte, error)
	Put(ctx context.Context, key string, value []byte) error
	// Delete deletes a key; one that does not exist is no error.
	Delete(ctx context.Context, key string) error
	// List gives the keys that begin with prefix, in order, at most limit; 0 = all.
	List(ctx context.Context, prefix string, limit int) ([]string, error)
	Exists(ctx context.Context, key string) (bool, error)
}

// pageMax is the largest page that an agent gives; more is all of it, cut here.
const pageMax = 10_000

type storage struct{ c *client }

func (s storage) kv() (*api.KV, error) {
	now, err := s.c.current()
	if err != nil {
		return nil, err
	}
	return now.api.KV(), nil
}

// Get implements StorageClient.
func (s storage) Get(ctx context.Context, key string) ([]byte, error) {
	kv, err := s.kv()
	if err != nil {
		return nil, err
	}
	pair, _, err := kv.Get(ctx, key, nil)
	if err != nil {
		return nil, err
	}
	if pair == nil {
		return nil, &api.Error{Kind: api.KindNotFound, Message: fmt.Sprintf("key not found: %s", key)}
	}
	if pair.Value == nil {
		return []byte{}, nil
	}
	return pair.Value, nil
}

// Put implements StorageClient.
func (s storage) Put(ctx context.Context, key string, value []byte) error {
	kv, err := s.kv()
	if err != nil {
		return err
	}
	_, err = kv.Put(ctx, &api.KVPair{Key: key, Value: value}, nil)
	return err
}

// Delete implements StorageClient.
func (s storage) Delete(ctx context.Context, key string) error {
	kv, err := s.kv()
	if err != nil {
		return err
	}
	_, err = kv.Delete(ctx, key, nil)
	return err
}

// List implements StorageClient.
func (s storage) List(ctx context.Context, prefix string, limit int) ([]string, error) {
	kv, err := s.kv()
	if err != nil {
		return nil, err
	}
	o := &api.QueryOptions{}
	if limit > 0 && limit <= pageMax {
		o.PerPage = limit
	}
	keys, _, err := kv.Keys(ctx, prefix, "", o)
	if err != nil {
		return nil, err
	}
	if keys == nil {
		keys = []string{}
	}
	if limit > 0 && len(keys) > limit {
		keys = keys[:limit]
	}
	return keys, nil
}

// Exists implements StorageClient.
func (s storage) Exists(ctx context.Context, key string) (bool, error) {
	kv, err := s.kv()
	if err != nil {
		return false, err
	}
	ok, _, err := kv.Exists(ctx, key, nil)
	return ok, err
}
