package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// lineReader reads a reply whose lines are JSON.
type lineReader struct {
	c    *Client
	ctx  context.Context
	in   *bufio.Reader
	long []byte // a line that does not fit into in
}

// line reads one line that is not empty; its bytes are valid until the next call.
func (r *lineReader) line() ([]byte, error) {
	r.long = r.long[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		if len(r.long)+len(part) > rowBytesMax {
			return nil, errorf(KindTooLarge, "a row of the reply has more than %d bytes", rowBytesMax)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			r.long = append(r.long, part...)
			continue
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(r.long)+len(part) == 0) {
			return nil, r.broken(noEnd(err))
		}
		if len(r.long) > 0 {
			r.long = append(r.long, part...)
			part = r.long
		}
		if part = bytes.TrimSpace(part); len(part) > 0 {
			return part, nil
		}
	}
}

// noEnd: a result that ends without its last line was cut off.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// broken is the error of a reply that stopped or makes no sense.
func (r *lineReader) broken(err error) *Error {
	if r.ctx.Err() != nil {
		return wayError(r.ctx, err, r.c.base.Host, false, true)
	}
	return &Error{Kind: KindUnavailable, Message: fmt.Sprintf("the result of the agent at %s is not complete: %v", r.c.base.Host, err), cause: err}
}
