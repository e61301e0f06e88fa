package overlay

import (
	"context"
	"encoding/base32"
	"strings"
	"sync"

	metrics "github.com/hashicorp/go-metrics"
	ds "github.com/ipfs/go-datastore"
	dsq "github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/structs"
)

// storeLimits bound what a node keeps for others. Any member may put records of its own and offers of its own,
// and peer ids cost a member nothing: so each has a share, and all together have a bound.
type storeLimits struct {
	rowsPerOwner int
	rows         int
	bytes        int // of keys and values
}

// The limits of records and of who offers what.
var (
	valueLimits    = storeLimits{rowsPerOwner: 64, rows: 16 << 10, bytes: 64 << 20}
	providerLimits = storeLimits{rowsPerOwner: 4 * offersMax, rows: 64 << 10, bytes: 16 << 20}
)

// errNoRoom is why a record is not kept.
func errNoRoom() error {
	return structs.Errorf(structs.KindQuota, "the distributed table has no room for one more record of this peer").
		WithHint("a peer may keep 64 records; they go when they expire")
}

// tableStore holds rows of the table in memory, in groups: a row's group is its key but the last part.
type tableStore struct {
	limits storeLimits
	owner  func(ds.Key) string
	// quietly drops what has no room. The table writes providers many at a time, and an error
	// would keep all of them waiting.
	quietly bool

	mu     sync.Mutex // protects the following
	groups map[string]map[ds.Key][]byte
	owners map[string]int // rows of each
	rows   int
	bytes  int
}

var _ ds.Batching = (*tableStore)(nil)

func newTableStore(l storeLimits, owner func(ds.Key) string) *tableStore {
	return &tableStore{limits: l, owner: owner, groups: map[string]map[ds.Key][]byte{}, owners: map[string]int{}}
}

func newValueStore() *tableStore { return newTableStore(valueLimits, valueOwner) }

// newProviderStore holds rows whose keys end in the provider, who is the one that sent them.
func newProviderStore() *tableStore {
	s := newTableStore(providerLimits, ds.Key.BaseNamespace)
	s.quietly = true
	return s
}

// valueOwner is the peer whose record it is: the last part of the row's key is the record's key in base 32.
// Only valid records come here.
func valueOwner(k ds.Key) string {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(k.BaseNamespace())
	if err != nil {
		return ""
	}
	var owner peer.ID
	if owner, _, err = parseRecordKey(string(key)); err != nil {
		return ""
	}
	return string(owner)
}

// Put implements ds.Write.
func (s *tableStore) Put(_ context.Context, k ds.Key, value []byte) error {
	s.mu.Lock()
	ok := s.putLocked(k, value)
	s.mu.Unlock()
	if ok {
		return nil
	}
	metrics.IncrCounter([]string{"overlay", "table", "refused"}, 1)
	if s.quietly {
		return nil
	}
	return errNoRoom()
}

func (s *tableStore) putLocked(k ds.Key, value []byte) bool {
	group := k.Parent().String()
	old, had := s.groups[group][k]
	bytes := s.bytes + len(value) - len(old)
	if !had {
		bytes += len(k.String())
	}
	owner := s.owner(k)
	switch {
	case bytes > s.limits.bytes:
		return false
	case had:
	case s.rows >= s.limits.rows || s.owners[owner] >= s.limits.rowsPerOwner:
		return false
	default:
		s.rows++
		s.owners[owner]++
		if s.groups[group] == nil {
			s.groups[group] = map[ds.Key][]byte{}
		}
	}
	s.groups[group][k], s.bytes = value, bytes
	return true
}

// Delete implements ds.Write.
func (s *tableStore) Delete(_ context.Context, k ds.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	group := k.Parent().String()
	old, had := s.groups[group][k]
	if !had {
		return nil
	}
	delete(s.groups[group], k)
	if len(s.groups[group]) == 0 {
		delete(s.groups, group)
	}
	s.rows--
	s.bytes -= len(k.String()) + len(old)
	owner := s.owner(k)
	if s.owners[owner]--; s.owners[owner] == 0 {
		delete(s.owners, owner)
	}
	return nil
}

// Get implements ds.Read.
func (s *tableStore) Get(_ context.Context, k ds.Key) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.groups[k.Parent().String()][k]; ok {
		return v, nil
	}
	return nil, ds.ErrNotFound
}

// Has implements ds.Read.
func (s *tableStore) Has(ctx context.Context, k ds.Key) (bool, error) {
	_, err := s.Get(ctx, k)
	return err == nil, nil
}

// GetSize implements ds.Read.
func (s *tableStore) GetSize(ctx context.Context, k ds.Key) (int, error) {
	v, err := s.Get(ctx, k)
	if err != nil {
		return -1, err
	}
	return len(v), nil
}

// Query implements ds.Read. The table asks for one group, at each question of others, or, to clean up, for all.
func (s *tableStore) Query(_ context.Context, q dsq.Query) (dsq.Results, error) {
	prefix := ds.NewKey(q.Prefix).String()
	var out []dsq.Entry
	take := func(group map[ds.Key][]byte) {
		for k, v := range group {
			out = append(out, dsq.Entry{Key: k.String(), Value: v, Size: len(v)})
		}
	}
	s.mu.Lock()
	if group, ok := s.groups[prefix]; ok {
		take(group)
	} else {
		for name, group := range s.groups {
			if prefix == "/" || strings.HasPrefix(name, prefix+"/") {
				take(group)
			}
		}
	}
	s.mu.Unlock()
	return dsq.NaiveQueryApply(q, dsq.ResultsWithEntries(q, out)), nil
}

// Batch implements ds.Batching.
func (s *tableStore) Batch(context.Context) (ds.Batch, error) { return ds.NewBasicBatch(s), nil }

// Sync implements ds.Datastore.
func (s *tableStore) Sync(context.Context, ds.Key) error { return nil }

// Close implements ds.Datastore.
func (s *tableStore) Close() error { return nil }
