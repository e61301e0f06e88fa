package structs

import (
	"bytes"

	"github.com/tinylib/msgp/msgp"
)

// wire reads msgpack for readFrom. After the first thing that is not what was asked for it is bad, and gives zeros.
type wire struct {
	rest []byte
	bad  bool
}

// took goes on behind what was read.
func took[T any](w *wire, v T, rest []byte, err error) T {
	if err != nil || w.bad {
		var zero T
		w.bad = true
		return zero
	}
	w.rest = rest
	return v
}

// members is how many members the map at hand has.
func (w *wire) members() int {
	n, rest, err := msgp.ReadMapHeaderBytes(w.rest)
	return w.fits(int(took(w, n, rest, err)))
}

// items is how many items the array at hand has.
func (w *wire) items() int {
	n, rest, err := msgp.ReadArrayHeaderBytes(w.rest)
	return w.fits(int(took(w, n, rest, err)))
}

// fits refuses a count that the bytes left cannot hold, before anybody allocates for it.
func (w *wire) fits(n int) int {
	if n > len(w.rest) {
		w.bad = true
		return 0
	}
	return n
}

// name is a member's name, still in the message.
func (w *wire) name() []byte {
	b, rest, err := msgp.ReadStringZC(w.rest)
	return took(w, b, rest, err)
}

func (w *wire) string() string {
	b, rest, err := msgp.ReadStringZC(w.rest)
	return string(took(w, b, rest, err))
}

// namespace does without an allocation for the one that is most common.
func (w *wire) namespace() Namespace {
	b, rest, err := msgp.ReadStringZC(w.rest)
	if b = took(w, b, rest, err); Namespace(b) == DefaultNamespace {
		return DefaultNamespace
	}
	return Namespace(b)
}

// kvOp does without an allocation for the one that is most common.
func (w *wire) kvOp() KVOp {
	b, rest, err := msgp.ReadStringZC(w.rest)
	if b = took(w, b, rest, err); KVOp(b) == KVSet {
		return KVSet
	}
	return KVOp(b)
}

// raw is bytes that are still in the message.
func (w *wire) raw() []byte {
	if msgp.IsNil(w.rest) {
		w.rest = w.rest[1:]
		return nil
	}
	b, rest, err := msgp.ReadBytesZC(w.rest)
	return took(w, b, rest, err)
}

// bytes is a copy: what is read here stays in the state, and must not hold a whole log entry in memory.
func (w *wire) bytes() []byte { return bytes.Clone(w.raw()) }

func (w *wire) texts() []string {
	if msgp.IsNil(w.rest) {
		w.rest = w.rest[1:]
		return nil
	}
	list := make([]string, w.items())
	for i := range list {
		list[i] = w.string()
	}
	return list
}

func (w *wire) uint() uint64 {
	v, rest, err := msgp.ReadUint64Bytes(w.rest)
	return took(w, v, rest, err)
}

func (w *wire) uint8() uint8 {
	v, rest, err := msgp.ReadUint8Bytes(w.rest)
	return took(w, v, rest, err)
}

func (w *wire) int() int64 {
	v, rest, err := msgp.ReadInt64Bytes(w.rest)
	return took(w, v, rest, err)
}

func (w *wire) bool() bool {
	v, rest, err := msgp.ReadBoolBytes(w.rest)
	return took(w, v, rest, err)
}

// The rest is for appendTo: members that are left out when they are zero.

func appendText(b []byte, name, v string) []byte {
	if v == "" {
		return b
	}
	return msgp.AppendString(msgp.AppendString(b, name), v)
}

// appendTexts does not leave it out.
func appendTexts(b []byte, name string, list []string) []byte {
	b = msgp.AppendString(b, name)
	if list == nil {
		return msgp.AppendNil(b)
	}
	b = msgp.AppendArrayHeader(b, uint32(len(list)))
	for _, v := range list {
		b = msgp.AppendString(b, v)
	}
	return b
}

func appendInt(b []byte, name string, v int64) []byte {
	if v == 0 {
		return b
	}
	return msgp.AppendInt64(msgp.AppendString(b, name), v)
}

func appendTrue(b []byte, name string, v bool) []byte {
	if !v {
		return b
	}
	return msgp.AppendBool(msgp.AppendString(b, name), true)
}

// appendBytes keeps nil and empty apart, as the generic codec does.
func appendBytes(b, v []byte) []byte {
	if v == nil {
		return msgp.AppendNil(b)
	}
	return msgp.AppendBytes(b, v)
}

// count is how many of the members are there.
func count(there ...bool) uint32 {
	n := uint32(0)
	for _, t := range there {
		if t {
			n++
		}
	}
	return n
}
