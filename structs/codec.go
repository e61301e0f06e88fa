package structs

import (
	"bytes"
	"fmt"
	"reflect"
	"sync"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// handle is shared by all encoders: fields by name, strings and bytes distinct, canonical map
// order so that equal values have equal bytes on every replica.
var handle = newHandle()

func newHandle() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{}
	h.WriteExt = true // str and bin are distinct
	h.RawToString = true
	h.Canonical = true
	h.MapType = reflect.TypeOf(map[string]any(nil))
	h.TimeNotBuiltin = false
	return h
}

var encoders = sync.Pool{New: func() any { return codec.NewEncoder(nil, handle) }}
var decoders = sync.Pool{New: func() any { return codec.NewDecoderBytes(nil, handle) }}

// Encode renders v as msgpack.
func Encode(v any) ([]byte, error) { return Append(nil, v) }

// Append is Encode behind what b holds, as append does it.
func Append(b []byte, v any) ([]byte, error) {
	if out, ok := appendHot(b, v); ok {
		return out, nil
	}
	data, err := encodeAny(v)
	if err != nil || b == nil {
		return data, err
	}
	return append(b, data...), nil
}

func encodeAny(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := encoders.Get().(*codec.Encoder)
	defer encoders.Put(enc)
	enc.Reset(&buf)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return buf.Bytes(), nil
}

// Decode reads msgpack made by Encode into v (a pointer). Foreign bytes give an error, never a panic.
func Decode(data []byte, v any) (err error) {
	if decodeHot(data, v) {
		return nil
	}
	return decodeAny(data, v)
}

func decodeAny(data []byte, v any) (err error) {
	dec := decoders.Get().(*codec.Decoder)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decode %T: %v", v, r)
			return // a decoder that panicked is not reused
		}
		dec.ResetBytes(nil)
		decoders.Put(dec)
	}()
	dec.ResetBytes(data)
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	return nil
}
