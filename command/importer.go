package command

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/debros/debros/api"
)

type importOptions struct {
	prefix   string
	parallel int
	retryFor time.Duration
	// here puts every pair into the client's namespace, whatever the file says.
	here bool
}

// importer writes a stream of pairs with many writers at a time.
type importer struct {
	kv   *api.KV
	opts importOptions

	written, retried atomic.Int64
	skipped          int64
	mark             mark // moved by the goroutine in run only
	// remember, if not nil, is given the mark now and then.
	remember func(mark) error
}

// rememberEvery is how much work a crash may cost; to do it again is harmless.
const rememberEvery = time.Second

// job is one pair on its way. Two pairs with the same key must arrive in order: the later one waits
// for before.
type job struct {
	pair   exported
	sum    [sha256.Size]byte // over this pair and all before it
	before <-chan struct{}   // nil, or closed when the earlier write of the same key is done
	done   chan struct{}     // closed when this write is done
	err    error             // read after done
}

func newImporter(kv *api.KV, o importOptions) *importer {
	return &importer{kv: kv, opts: o}
}

// run reads pairs until the end of in and returns when all are written, or at the first error.
func (im *importer) run(ctx context.Context, in io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work := make(chan *job)
	order := make(chan *job, 4*im.opts.parallel) // in the order of the file; bounds how far ahead we read
	var workers sync.WaitGroup
	for range im.opts.parallel {
		workers.Go(func() {
			for j := range work {
				im.write(ctx, j)
			}
		})
	}
	var readErr error
	workers.Go(func() {
		defer close(order)
		defer close(work)
		readErr = im.read(ctx, in, work, order)
	})
	// The mark moves over pairs in the order of the file, so that all before it are written.
	var err error
	last := time.Now()
	for j := range order {
		<-j.done
		if err == nil && j.err != nil {
			err = fmt.Errorf("write %q: %w", im.opts.prefix+j.pair.Key, j.err)
			cancel()
		}
		if err == nil {
			im.mark.Records++
			im.mark.sum = j.sum
		}
		if err == nil && im.remember != nil && time.Since(last) > rememberEvery {
			last = time.Now()
			if err = im.remember(im.mark); err != nil {
				cancel()
			}
		}
	}
	workers.Wait()
	if err == nil {
		err = readErr
	}
	return err
}

// read turns the file into jobs.
func (im *importer) read(ctx context.Context, in io.Reader, work, order chan<- *job) error {
	next, err := pairReader(in)
	if err != nil {
		return err
	}
	resume := im.mark
	var sum [sha256.Size]byte
	pending := map[string]*job{} // the last job of each key that may be under way
	for n := int64(0); ; n++ {
		if n == resume.Records && n > 0 && sum != resume.sum {
			return withHint(errors.New("this is not the file whose import was begun"), "remove the -resume file to begin anew")
		}
		var p exported
		if err := next(&p); errors.Is(err, io.EOF) {
			if n < resume.Records {
				return withHint(errors.New("this is not the file whose import was begun: it is shorter"), "remove the -resume file to begin anew")
			}
			return nil
		} else if err != nil {
			return fmt.Errorf("read pair %d: %w", n+1, err)
		}
		if p.Key == "" && im.opts.prefix == "" {
			return fmt.Errorf("read pair %d: it has no key", n+1)
		}
		sum = chain(sum, p)
		if n < resume.Records {
			im.skipped++
			continue
		}
		j := &job{pair: p, sum: sum, done: make(chan struct{})}
		if b := pending[p.Key]; b != nil {
			j.before = b.done
		}
		if len(pending) > 4*im.opts.parallel {
			for k, b := range pending {
				select {
				case <-b.done:
					delete(pending, k)
				default:
				}
			}
		}
		pending[p.Key] = j
		// To order first: run waits for what is there, and work for a free writer.
		select {
		case order <- j:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case work <- j:
		case <-ctx.Done():
			j.err = ctx.Err()
			close(j.done)
			return ctx.Err()
		}
	}
}

// write writes one pair, again and again while that may help.
func (im *importer) write(ctx context.Context, j *job) {
	defer close(j.done)
	if j.before != nil {
		<-j.before
	}
	p := &api.KVPair{Key: im.opts.prefix + j.pair.Key, Flags: j.pair.Flags, Value: j.pair.Value}
	o := &api.WriteOptions{}
	if !im.opts.here {
		o.Namespace = j.pair.Namespace
	}
	deadline := time.Now().Add(im.opts.retryFor)
	for {
		_, j.err = im.kv.Put(ctx, p, o)
		if j.err == nil {
			im.written.Add(1)
			return
		}
		if ctx.Err() != nil || !worthRetrying(j.err) || time.Now().After(deadline) {
			return
		}
		im.retried.Add(1)
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// worthRetrying: a plain set may be repeated whatever became of the first one.
func worthRetrying(err error) bool {
	for _, e := range []error{api.ErrNoLeader, api.ErrUnavailable, api.ErrUnknownResult, api.ErrRateLimited, api.ErrInternal} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (im *importer) remark() string {
	s := ""
	if im.skipped > 0 {
		s += fmt.Sprintf(", after %d that were imported before", im.skipped)
	}
	if n := im.retried.Load(); n > 0 {
		s += fmt.Sprintf(", with %d repetitions", n)
	}
	return s
}

// pairReader reads an array of pairs or one pair after another, by the first character.
func pairReader(in io.Reader) (next func(*exported) error, err error) {
	r := bufio.NewReader(in)
	for {
		b, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			return func(*exported) error { return io.EOF }, nil
		}
		if err != nil {
			return nil, err
		}
		if unicode.IsSpace(rune(b)) {
			continue
		}
		r.UnreadByte()
		if b != '[' && b != '{' {
			return nil, withHint(errors.New("the file is neither a JSON array nor JSON objects"), "'debros kv export' writes such a file")
		}
		dec := json.NewDecoder(r)
		if b == '{' {
			return func(p *exported) error { return cutShort(dec.Decode(p)) }, nil
		}
		dec.Token()
		return func(p *exported) error {
			if dec.More() {
				return noEOF(dec.Decode(p))
			}
			_, err := dec.Token() // the closing bracket, without which the file is cut short
			if err == nil {
				return io.EOF
			}
			return noEOF(err)
		}, nil
	}
}

func cutShort(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends in the middle of a pair")
	}
	return err
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends in the middle of the array")
	}
	return err
}
