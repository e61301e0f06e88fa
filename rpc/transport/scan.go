package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// scanner walks msgpack without building anything, in pieces as they arrive, and stops at the
// first token that claims more than its limits allow: before a decoder sees the claim. Both uses need it:
// decoders allocate by what a length says (raft's for a time value: all of it at once) or by
// the size of a Go struct for a single byte of input.
type scanner struct {
	lim scanLimits

	depth int
	left  [scanDepthMax]uint64 // items still to come in each open container; a map has two per pair

	hdr  [9]byte // type byte and what belongs to the header of the token in progress
	have int
	need int    // header bytes of this token; 0 = between tokens
	skip uint64 // bytes of a string's content still to come

	total      int64 // bytes of this value so far
	containers int64
	done       bool // a whole value was seen

	// Top-level fields: the guard needs one number out of a message.
	key    []byte // of the pair in progress at depth 1; nil when too long to matter
	inKey  bool   // the content being skipped is such a key
	number func(key string, v int64)
}

// scanLimits bound one value.
type scanLimits struct {
	totalBytesMax int64
	bytesMax      uint64 // one string, byte string or extension
	itemsMax      uint64 // one array or map
	// containersFree and bytesPerContainer bound arrays and maps together: a container is a byte or two
	// of input and may be a large struct in memory. 0 bytes = not bounded.
	containersFree    int64
	bytesPerContainer int64
	topMap            bool // the value must be a map with string keys
}

const (
	scanDepthMax = 32 // our deepest type nests 7; a decoder's own limit is 1024
	scanKeyMax   = 16 // longest top-level key that is looked at
)

var (
	errScanReserved = errors.New("msgpack: reserved type byte")
	errScanDepth    = fmt.Errorf("msgpack: nested deeper than %d", scanDepthMax)
	errScanTop      = errors.New("msgpack: not a map with string keys")
)

// reset prepares for the next value; lim may change.
func (s *scanner) reset(lim scanLimits) {
	number := s.number
	*s = scanner{lim: lim, number: number, key: s.key[:0]}
}

// scan takes bytes of p until the value is whole or p is used up. After an error, n bytes are harmless.
func (s *scanner) scan(p []byte) (n int, err error) {
	for n < len(p) && !s.done {
		if s.skip > 0 {
			k := min(s.skip, uint64(len(p)-n))
			if err := s.grow(int64(k)); err != nil {
				return n, err
			}
			if s.inKey && s.key != nil {
				s.key = append(s.key, p[n:n+int(k)]...)
			}
			n += int(k)
			s.skip -= k
			if s.skip == 0 {
				s.complete()
			}
			continue
		}
		start := n
		if s.need == 0 {
			if s.need, err = headerLen(p[n]); err != nil {
				return n, err
			}
			s.have = 0
		}
		k := min(s.need-s.have, len(p)-n)
		copy(s.hdr[s.have:], p[n:n+k])
		s.have += k
		n += k
		if err := s.grow(int64(k)); err != nil {
			return start, err
		}
		if s.have < s.need {
			return n, nil
		}
		s.need = 0
		if err := s.token(); err != nil {
			return start, err
		}
	}
	return n, nil
}

func (s *scanner) grow(n int64) error {
	s.total += n
	if s.total > s.lim.totalBytesMax {
		return fmt.Errorf("msgpack: longer than %d bytes", s.lim.totalBytesMax)
	}
	return nil
}

// token handles one whole header.
func (s *scanner) token() error {
	b := s.hdr[0]
	isKey := s.lim.topMap && s.depth == 1 && s.left[0]%2 == 0
	class, v := classify(b, s.hdr[1:])
	if s.lim.topMap && ((s.depth == 0 && class != classMap) || (isKey && class != classStr)) {
		return errScanTop
	}
	switch class {
	case classScalar:
		if s.number != nil && s.depth == 1 && !isKey && s.key != nil {
			if i, ok := integer(b, s.hdr[1:]); ok {
				s.number(string(s.key), i)
			}
		}
		s.complete()
	case classStr, classBin:
		if v > s.lim.bytesMax {
			return fmt.Errorf("msgpack: a string claims %d bytes, more than %d", v, s.lim.bytesMax)
		}
		if isKey {
			s.inKey = true
			s.key = s.key[:0]
			if s.key == nil {
				s.key = make([]byte, 0, scanKeyMax)
			}
			if v > scanKeyMax {
				s.key = nil
			}
		}
		if s.skip = v; v == 0 {
			s.complete()
		}
	case classArray, classMap:
		return s.open(class, v)
	}
	return nil
}

func (s *scanner) open(class tokenClass, items uint64) error {
	if items > s.lim.itemsMax {
		return fmt.Errorf("msgpack: a container claims %d items, more than %d", items, s.lim.itemsMax)
	}
	s.containers++
	if b := s.lim.bytesPerContainer; b > 0 && s.containers > s.lim.containersFree+s.total/b {
		return fmt.Errorf("msgpack: %d containers in %d bytes", s.containers, s.total)
	}
	if items == 0 {
		s.complete()
		return nil
	}
	if s.depth == scanDepthMax {
		return errScanDepth
	}
	if class == classMap {
		items *= 2
	}
	s.left[s.depth] = items
	s.depth++
	return nil
}

// complete ends an item, and every container that it was the last item of.
func (s *scanner) complete() {
	s.inKey = false
	for s.depth > 0 {
		s.left[s.depth-1]--
		if s.left[s.depth-1] > 0 {
			return
		}
		s.depth--
	}
	s.done = true
}

type tokenClass uint8

const (
	classScalar tokenClass = iota // value in the header
	classStr                      // v bytes follow
	classBin                      // v bytes follow; also extensions, their type byte counted
	classArray                    // v items follow
	classMap                      // v pairs follow
)

// headerLen is how many bytes a token's header has, given its first. For numbers that is the whole token.
func headerLen(b byte) (int, error) {
	switch {
	case b <= 0xbf || b >= 0xe0: // fixint, fixmap, fixarray, fixstr
		return 1, nil
	case b == 0xc1:
		return 0, errScanReserved
	case b == 0xc0, b == 0xc2, b == 0xc3: // nil, false, true
		return 1, nil
	case b >= 0xd4 && b <= 0xd8: // fixext: the type byte is content
		return 1, nil
	}
	switch b {
	case 0xc4, 0xc7, 0xcc, 0xd0, 0xd9: // bin8 ext8 uint8 int8 str8
		return 2, nil
	case 0xc5, 0xc8, 0xcd, 0xd1, 0xda, 0xdc, 0xde: // bin16 ext16 uint16 int16 str16 array16 map16
		return 3, nil
	case 0xc6, 0xc9, 0xca, 0xce, 0xd2, 0xdb, 0xdd, 0xdf: // bin32 ext32 float32 uint32 int32 str32 array32 map32
		return 5, nil
	default: // 0xcb float64, 0xcf uint64, 0xd3 int64
		return 9, nil
	}
}

// classify says what follows a header: v bytes, items or pairs.
func classify(b byte, rest []byte) (tokenClass, uint64) {
	switch {
	case b >= 0x80 && b <= 0x8f:
		return classMap, uint64(b & 0x0f)
	case b >= 0x90 && b <= 0x9f:
		return classArray, uint64(b & 0x0f)
	case b >= 0xa0 && b <= 0xbf:
		return classStr, uint64(b & 0x1f)
	case b >= 0xd4 && b <= 0xd8: // type byte and 1, 2, 4, 8 or 16
		return classBin, 1 + 1<<(b-0xd4)
	}
	u8, u16, u32 := uint64(rest[0]), uint64(binary.BigEndian.Uint16(rest)), uint64(binary.BigEndian.Uint32(rest))
	switch b {
	case 0xd9:
		return classStr, u8
	case 0xda:
		return classStr, u16
	case 0xdb:
		return classStr, u32
	case 0xc4:
		return classBin, u8
	case 0xc5:
		return classBin, u16
	case 0xc6:
		return classBin, u32
	case 0xc7:
		return classBin, u8 + 1
	case 0xc8:
		return classBin, u16 + 1
	case 0xc9:
		return classBin, u32 + 1
	case 0xdc:
		return classArray, u16
	case 0xdd:
		return classArray, u32
	case 0xde:
		return classMap, u16
	case 0xdf:
		return classMap, u32
	}
	return classScalar, 0
}

// integer reads an integer token; one above the largest int64 counts as that.
func integer(b byte, rest []byte) (int64, bool) {
	switch {
	case b <= 0x7f:
		return int64(b), true
	case b >= 0xe0:
		return int64(int8(b)), true
	}
	switch b {
	case 0xcc:
		return int64(rest[0]), true
	case 0xcd:
		return int64(binary.BigEndian.Uint16(rest)), true
	case 0xce:
		return int64(binary.BigEndian.Uint32(rest)), true
	case 0xcf:
		return int64(min(binary.BigEndian.Uint64(rest), 1<<63-1)), true
	case 0xd0:
		return int64(int8(rest[0])), true
	case 0xd1:
		return int64(int16(binary.BigEndian.Uint16(rest))), true
	case 0xd2:
		return int64(int32(binary.BigEndian.Uint32(rest))), true
	case 0xd3:
		return int64(binary.BigEndian.Uint64(rest)), true
	}
	return 0, false
}
