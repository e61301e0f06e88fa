package rpc

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"github.com/debros/debros/structs"
)

// A page token is base64url of
//
//	byte 0     version, tokenVersion
//	bytes 1-4  CRC32C of the rest, big endian
//	rest       the last key of the page before
//
// Opaque to clients, so that it may carry something else one day. The sum is there to tell a
// mangled token from a key, not against forgery: a forged one only chooses where a list begins.
const (
	tokenVersion     = 1
	tokenHeaderBytes = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeToken names the page after key.
func encodeToken(key string) string {
	raw := make([]byte, tokenHeaderBytes, tokenHeaderBytes+len(key))
	raw[0] = tokenVersion
	binary.BigEndian.PutUint32(raw[1:], crc32.Checksum([]byte(key), castagnoli))
	return base64.RawURLEncoding.EncodeToString(append(raw, key...))
}

// decodeToken returns the key that a list under prefix goes on after; "" for the first page.
// Anything that encodeToken did not make for this prefix is KindInvalid.
func decodeToken(token, prefix string) (after string, err error) {
	if token == "" {
		return "", nil
	}
	if len(token) > base64.RawURLEncoding.EncodedLen(tokenHeaderBytes+structs.KeyBytesMax) {
		return "", errToken()
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) <= tokenHeaderBytes || raw[0] != tokenVersion {
		return "", errToken()
	}
	key := raw[tokenHeaderBytes:]
	if binary.BigEndian.Uint32(raw[1:]) != crc32.Checksum(key, castagnoli) || !strings.HasPrefix(string(key), prefix) {
		return "", errToken()
	}
	return string(key), nil
}

func errToken() error {
	return structs.Errorf(structs.KindInvalid, "invalid next_token").
		WithHint("pass the token of the page before unchanged, with the same prefix, or none to begin again")
}

// pageBytesMax ends a page early, so that a page of large values stays far below what the transport
// carries in one message. It binds only those who asked for pages: the others want everything.
const pageBytesMax = 16 << 20

// fetchFunc reads at most limit items after a key, in key order.
type fetchFunc[T any] func(after string, limit int) (idx uint64, items []T, more bool)

// pager says how a list is cut into pages.
type pager[T any] struct {
	fetch fetchFunc[T]
	key   func(T) string
	see   func(T) bool // may the caller see it?
	size  func(T) int  // bytes; nil = small
}

// page collects one page of what the caller may see; limit 0 = everything. Items that the caller may
// not see do not shorten the page, and their keys never end up in a token: it holds the last key
// that was shown.
func (p pager[T]) page(limit int, after string) (idx uint64, page []T, next string) {
	bytes := 0
	for {
		want := 0
		if limit > 0 {
			want = limit - len(page)
		}
		i, items, more := p.fetch(after, want)
		if idx == 0 {
			idx = i // of the first fetch: an index that is too old costs a wake-up, too new loses one
		}
		for n, it := range items {
			if !p.see(it) {
				continue
			}
			page = append(page, it)
			if p.size != nil {
				bytes += p.size(it)
			}
			full := limit > 0 && (len(page) == limit || bytes >= pageBytesMax)
			if full && (more || n < len(items)-1) {
				return idx, page, encodeToken(p.key(it))
			}
		}
		if !more || len(items) == 0 {
			return idx, page, ""
		}
		after = p.key(items[len(items)-1])
	}
}

// fetchSlice is a fetch over items that are all in memory.
func fetchSlice[T any](idx uint64, items []T, key func(T) string) fetchFunc[T] {
	items = slices.SortedFunc(slices.Values(items), func(a, b T) int { return strings.Compare(key(a), key(b)) })
	return func(after string, limit int) (uint64, []T, bool) {
		rest := items
		if after != "" {
			i, exact := slices.BinarySearchFunc(items, after, func(it T, k string) int { return strings.Compare(key(it), k) })
			if exact {
				i++
			}
			rest = items[i:]
		}
		if limit > 0 && len(rest) > limit {
			return idx, rest[:limit], true
		}
		return idx, rest, false
	}
}

// perPage is the page size asked for. A huge one means everything; the bound keeps sums in range.
func perPage(o *structs.QueryOptions) int { return min(o.PerPage, math.MaxInt32) }
