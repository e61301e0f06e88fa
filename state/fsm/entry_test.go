package fsm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/debros/debros/structs"
)

func testEntry(t testing.TB) *structs.Entry {
	t.Helper()
	return &structs.Entry{
		Time: 1_700_000_000_123_456_789,
		Seed: 0xfedcba9876543210,
		Commands: []structs.Command{
			{Type: structs.CommandNone},
			command(t, structs.CommandKV, &structs.KVRequest{
				WriteOptions: structs.WriteOptions{Namespace: structs.DefaultNamespace},
				Op:           structs.KVSet,
				KV:           structs.KVPair{Key: "a/b", Value: []byte("value\x00\xff"), Flags: 42},
			}),
		},
	}
}

func command(t testing.TB, kind structs.CommandType, body any) structs.Command {
	t.Helper()
	raw, err := structs.Encode(body)
	if err != nil {
		t.Fatal(err)
	}
	return structs.Command{Type: kind, Body: raw}
}

func encodeEntry(t testing.TB, e *structs.Entry) []byte {
	t.Helper()
	data, err := EncodeEntry(e)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDecodeEntryGivesBackWhatWasEncoded(t *testing.T) {
	for _, e := range []*structs.Entry{{}, testEntry(t)} {
		got, err := DecodeEntry(encodeEntry(t, e))
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%+v, %v; want %+v", got, err, e)
		}
	}
}

func TestDamagedEntryIsAnError(t *testing.T) {
	data := encodeEntry(t, testEntry(t))
	for n := range data {
		if _, err := DecodeEntry(data[:n]); !errors.Is(err, ErrEntry) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(data), err)
		}
	}
	for i := range data {
		for bit := range 8 {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << bit
			if _, err := DecodeEntry(bad); !errors.Is(err, ErrEntry) {
				t.Fatalf("byte %d bit %d flipped: %v", i, bit, err)
			}
		}
	}
	if _, err := DecodeEntry(append(bytes.Clone(data), 0)); !errors.Is(err, ErrEntry) {
		t.Fatalf("with a byte behind it: %v", err)
	}
}

// Logs of every released version stay readable: golden files are added, never rewritten.
func TestReadsGoldenEntry(t *testing.T) {
	data := golden(t, "entry-v1.bin", func() []byte { return encodeEntry(t, testEntry(t)) })
	e, err := DecodeEntry(data)
	if err != nil || !reflect.DeepEqual(e, testEntry(t)) {
		t.Fatalf("%+v, %v", e, err)
	}
}

// golden reads a file of testdata, which -update makes when it does not exist.
func golden(t *testing.T, name string, make func() []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && *update {
		if err := os.WriteFile(path, make(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func FuzzDecodeEntry(f *testing.F) {
	good := encodeEntry(f, testEntry(f))
	f.Add(good)
	f.Add(encodeEntry(f, &structs.Entry{}))
	f.Add(good[:len(good)-1])
	f.Add([]byte{})
	f.Add([]byte{0x82, 0xa8})                          // as a payload: a map cut short
	f.Add(bytes.Repeat([]byte{0x81, 0xa1, 'x'}, 3000)) // as a payload: very deep
	f.Fuzz(func(t *testing.T, data []byte) {
		// Once as it is, and once as a payload with a right checksum, which the mutator would never find.
		for _, in := range [][]byte{data, seal(data)} {
			e, err := DecodeEntry(in)
			if err != nil {
				if !errors.Is(err, ErrEntry) {
					t.Fatalf("unmarked error %v", err)
				}
				continue
			}
			again, err := DecodeEntry(encodeEntry(t, e))
			if err != nil || !reflect.DeepEqual(normal(again), normal(e)) {
				t.Fatalf("%+v became %+v, %v", e, again, err)
			}
		}
	})
}

// normal removes differences that msgpack does not carry: nil or empty.
func normal(e *structs.Entry) structs.Entry {
	n := structs.Entry{Time: e.Time, Seed: e.Seed}
	for _, c := range e.Commands {
		n.Commands = append(n.Commands, structs.Command{Type: c.Type, Body: append([]byte{}, c.Body...)})
	}
	return n
}
