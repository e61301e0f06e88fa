package structs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A stream of values, such as a query's reply, is frames one after the other: the length of the payload, 4 bytes,
// big endian, and the payload, a value in msgpack.
const (
	frameHeaderBytes = 4
	// FrameBytesMax bounds a frame, so that a lying length costs no memory.
	FrameBytesMax = 32 << 20
)

// ErrFrame is in the chain of ReadFrame's errors about the bytes, not of those of the reader.
var ErrFrame = errors.New("bad frame")

// AppendFrame encodes v as a frame behind b.
func AppendFrame(b []byte, v any) ([]byte, error) {
	start := len(b)
	b, err := Append(append(b, make([]byte, frameHeaderBytes)...), v)
	if err != nil {
		return nil, err
	}
	n := len(b) - start - frameHeaderBytes
	if n > FrameBytesMax {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrFrame, n, FrameBytesMax)
	}
	binary.BigEndian.PutUint32(b[start:], uint32(n))
	return b, nil
}

// ReadFrame decodes the next frame into v. io.EOF means that the stream ended between two frames.
func ReadFrame(r io.Reader, v any) error {
	var head [frameHeaderBytes]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > FrameBytesMax {
		return fmt.Errorf("%w: it claims %d bytes, the limit is %d", ErrFrame, n, FrameBytesMax)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if err := Decode(payload, v); err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return nil
}

// FrameWriter is a writer of a stream of frames that hands on the payload of each as soon as it is whole.
type FrameWriter struct {
	// Frame gets a payload, whose bytes are valid until it returns. Its error is Write's.
	Frame func(payload []byte) error
	part  []byte // the beginning of a frame
}

// Write implements io.Writer. It fails with ErrFrame on a length that is a lie.
func (w *FrameWriter) Write(p []byte) (int, error) {
	data := p
	if len(w.part) > 0 {
		w.part = append(w.part, p...)
		data = w.part
	}
	for len(data) >= frameHeaderBytes {
		n := binary.BigEndian.Uint32(data)
		if n > FrameBytesMax {
			return 0, fmt.Errorf("%w: it claims %d bytes, the limit is %d", ErrFrame, n, FrameBytesMax)
		}
		end := frameHeaderBytes + int(n)
		if len(data) < end {
			break
		}
		if err := w.Frame(data[frameHeaderBytes:end]); err != nil {
			return 0, err
		}
		data = data[end:]
	}
	w.part = append(w.part[:0], data...)
	return len(p), nil
}

// Whole reports whether the stream so far ended between two frames.
func (w *FrameWriter) Whole() bool { return len(w.part) == 0 }
