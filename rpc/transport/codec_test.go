package transport

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/debros/debros/structs"
)

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := structs.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHostileMessagesAreRefusedBeforeDecoding(t *testing.T) {
	good := encode(t, &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a", Value: []byte("b")}})
	ops := func(n int) []byte { // n operations of one byte each, 8 in memory, and pairs of more
		return join([]byte{0x81}, str("Ops"), claim(0xdd, uint32(n)), bytes.Repeat([]byte{0x80}, n))
	}
	for name, tc := range map[string]struct {
		msg  []byte
		want string
	}{
		"cut short":      {good[:len(good)-1], "cut short"},
		"trailing bytes": {append(bytes.Clone(good), 0), "after the message"},
		"empty":          {nil, "cut short"},
		"string claim":   {join([]byte{0x81}, str("Token"), claim(0xdb, 1<<31)), "claims"},
		"array claim":    {join([]byte{0x81}, str("Ops"), claim(0xdd, 1<<31)), "claims"},
		"containers":     {ops(1 << 20), "containers"},
		"depth":          {append(bytes.Repeat([]byte{0x91}, 100), 0xc0), "nested"},
		"reserved":       {[]byte{0xc1}, "reserved"},
	} {
		if err := decodeMessage(tc.msg, new(structs.TxnRequest)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if err := decodeMessage(good, new(structs.KVRequest)); err != nil {
		t.Error(err)
	}
	if err := decodeMessage(ops(1000), new(structs.TxnRequest)); err != nil {
		t.Error(err)
	}
}

// The bounds on containers must never meet an honest message, however small its rows.
func TestHonestMessagesPass(t *testing.T) {
	list := &structs.KVListReply{}
	for range 100_000 {
		list.Entries = append(list.Entries, &structs.KVPair{Key: "k"})
	}
	txn := &structs.TxnReply{Results: make([]structs.TxnResult, 16_000)}
	keys := &structs.KVKeysReply{Keys: make([]string, 1_000_000)}
	for _, tc := range []struct{ in, out any }{{list, new(structs.KVListReply)}, {txn, new(structs.TxnReply)}, {keys, new(structs.KVKeysReply)}} {
		if err := decodeMessage(encode(t, tc.in), tc.out); err != nil {
			t.Errorf("%T: %v", tc.in, err)
		}
	}
}

// gRPC takes its buffers back when Unmarshal returns.
func TestDecodedValuesDoNotShareTheBuffer(t *testing.T) {
	type value struct {
		B []byte
		S string
		A any
		M map[string]any
	}
	in := value{[]byte("bytes"), "string", []byte("any"), map[string]any{"k": []byte("v")}}
	b := encode(t, &in)
	var out, fresh value
	if err := (codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, &out); err != nil {
		t.Fatal(err)
	}
	if err := structs.Decode(bytes.Clone(b), &fresh); err != nil {
		t.Fatal(err)
	}
	clear(b)
	if string(encode(t, &out)) != string(encode(t, &fresh)) {
		t.Errorf("after the buffer was cleared: %+v", out)
	}
}

func TestUnreadableErrorIsStillAnError(t *testing.T) {
	if e := errorFromTrailer(metadata.Pairs(errorTrailer, "\xc1")); e == nil || e.Kind != structs.KindInternal {
		t.Errorf("%+v", e)
	}
	if e := errorFromTrailer(nil); e != nil {
		t.Errorf("%+v", e)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add(encode(f, &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a", Value: []byte("b")}}))
	f.Add(encode(f, &structs.TxnRequest{Ops: []structs.TxnOp{{KV: &structs.TxnKVOp{Verb: structs.KVGet}}}}))
	f.Add(encode(f, structs.Errorf(structs.KindDenied, "no").WithHint("ask")))
	f.Add(join([]byte{0x81}, str("Ops"), claim(0xdd, 1<<31)))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range []any{new(structs.KVRequest), new(structs.TxnRequest), new(structs.Error), new(structs.KVListReply), new(structs.Member)} {
			grown := allocated(func() {
				if decodeMessage(data, v) == nil {
					encode(t, v)
				}
			})
			if grown > uint64(len(data))*256+4<<20 {
				t.Fatalf("%T: %d bytes were allocated for %d", v, grown, len(data))
			}
		}
	})
}
