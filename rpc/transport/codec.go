package transport

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/mem"

	"github.com/debros/debros/structs"
)

// codec is gRPC's view of our messages: a chunk of a stream is its bytes, anything else is msgpack.
type codec struct{}

// chunk is a piece of a stream.
type chunk struct{ data []byte }

// Name implements encoding.CodecV2; it becomes the content type application/grpc+msgpack.
func (codec) Name() string { return "msgpack" }

// Marshal implements encoding.CodecV2. The bytes of a chunk are copied: gRPC keeps them after a send
// returns, and the caller's buffer is the caller's again by then.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if c, ok := v.(*chunk); ok {
		return mem.BufferSlice{mem.Copy(c.data, mem.DefaultBufferPool())}, nil
	}
	b, err := structs.Encode(v)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// Unmarshal implements encoding.CodecV2. gRPC takes the buffers back when it returns; structs.Decode
// copies what it keeps.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	if c, ok := v.(*chunk); ok {
		n := data.Len()
		if cap(c.data) < n {
			c.data = make([]byte, n)
		}
		c.data = c.data[:n]
		data.CopyTo(c.data)
		return nil
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return decodeMessage(buf.ReadOnlyData(), v)
}

// Bounds of an RPC message besides its size. A container costs a byte on the wire and may cost a
// struct of 150 bytes in memory, so their number is bounded by the bytes sent; messages made by
// structs.Encode carry the field names and stay far below.
const (
	messageContainersFree    = 16 << 10
	messageBytesPerContainer = 8
)

// decodeMessage decodes foreign bytes: one whole value, nothing after it, no claim that the bytes do
// not cover.
func decodeMessage(b []byte, v any) error {
	n := int64(len(b))
	s := scanner{lim: scanLimits{
		totalBytesMax:     n,
		bytesMax:          uint64(n),
		itemsMax:          uint64(n),
		containersFree:    messageContainersFree,
		bytesPerContainer: messageBytesPerContainer,
	}}
	used, err := s.scan(b)
	switch {
	case err != nil:
		return err
	case !s.done:
		return errors.New("msgpack: the message is cut short")
	case used < len(b):
		return fmt.Errorf("msgpack: %d bytes after the message", len(b)-used)
	}
	return structs.Decode(b, v)
}
