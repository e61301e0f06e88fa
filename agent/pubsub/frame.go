package pubsub

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/tinylib/msgp/msgp"

	"github.com/debros/debros/structs"
)

// A frame is what travels: messages of one publisher and carrier with numbers in a row, signed by the publisher.
//
//	signature (64 bytes, Ed25519 with the node key, of frameContext and the SHA-256 of all that follows)
//	msgpack array: version, carrier, publisher, epoch, first, time (ns), messages
//	message: array of flags, topic, ns after the frame's time, data, and as the flags say: headers, reply, groups
//
// A frame without messages says that everything before first was sent.
type frame struct {
	carrier   string
	publisher peer.ID
	epoch     uint64
	first     uint64
	time      int64
	messages  []*message
	raw       []byte
}

const (
	frameVersion = 1
	frameContext = "debros messages v1\x00"
	frameFields  = 7
	// frameMessagesMax bounds what a frame can make its receivers allocate.
	frameMessagesMax = 4096
	// frameSlack is what a frame has beside its messages.
	frameSlack = 1 << 10
	// groupBytesFree is what the choices for groups may take of a frame beside the largest message: some hundred of them.
	groupBytesFree = 64 << 10
)

const (
	flagHeaders = 1 << iota
	flagReply
	flagGroups
	flagRetain
)

// last is the number of the last message that the frame says was sent.
func (f *frame) last() uint64 { return f.first + uint64(len(f.messages)) - 1 }

// seal encodes and signs a frame.
func (f *frame) seal(key ed25519.PrivateKey) {
	size := frameSlack
	for _, m := range f.messages {
		size += m.size()
	}
	b := make([]byte, ed25519.SignatureSize, size)
	b = msgp.AppendArrayHeader(b, frameFields)
	b = msgp.AppendUint(b, frameVersion)
	b = msgp.AppendString(b, f.carrier)
	b = msgp.AppendString(b, string(f.publisher))
	b = msgp.AppendUint64(b, f.epoch)
	b = msgp.AppendUint64(b, f.first)
	b = msgp.AppendInt64(b, f.time)
	b = msgp.AppendArrayHeader(b, uint32(len(f.messages)))
	for _, m := range f.messages {
		b = appendMessage(b, m, f.time)
	}
	copy(b, ed25519.Sign(key, signed(b)))
	f.raw = b
}

// signed is what the signature of an encoded frame is of. Ed25519 itself reads a message twice, by a slower hash.
func signed(raw []byte) []byte {
	sum := sha256.Sum256(raw[ed25519.SignatureSize:])
	return append([]byte(frameContext), sum[:]...)
}

func appendMessage(b []byte, m *message, base int64) []byte {
	flags, fields := 0, uint32(4)
	for _, o := range []struct {
		there bool
		flag  int
		field uint32
	}{{len(m.Headers) > 0, flagHeaders, 1}, {m.Reply != "", flagReply, 1}, {len(m.groups) > 0, flagGroups, 1}, {m.Retain, flagRetain, 0}} {
		if o.there {
			flags |= o.flag
			fields += o.field
		}
	}
	b = msgp.AppendArrayHeader(b, fields)
	b = msgp.AppendInt(b, flags)
	b = msgp.AppendString(b, m.Topic)
	b = msgp.AppendInt64(b, m.Time.UnixNano()-base)
	b = msgp.AppendBytes(b, m.Data)
	if len(m.Headers) > 0 {
		b = msgp.AppendMapStrStr(b, m.Headers)
	}
	if m.Reply != "" {
		b = msgp.AppendString(b, m.Reply)
	}
	if len(m.groups) > 0 {
		b = msgp.AppendArrayHeader(b, uint32(len(m.groups)))
		for _, c := range m.groups {
			b = msgp.AppendArrayHeader(b, 3)
			b = msgp.AppendString(msgp.AppendString(msgp.AppendString(b, c.group.pattern), c.group.name), string(c.agent))
		}
	}
	return b
}

var errFrame = errors.New("malformed frame")

// openFrame decodes a frame and checks that its publisher made it for this carrier. Nothing of the result shares memory with raw but raw itself.
func openFrame(carrier string, raw []byte) (*frame, error) {
	if len(raw) <= ed25519.SignatureSize {
		return nil, errFrame
	}
	f := &frame{raw: raw}
	r := reader{rest: raw[ed25519.SignatureSize:]}
	if r.items() != frameFields || r.uint() != frameVersion {
		return nil, errFrame
	}
	f.carrier, f.publisher = r.string(), peer.ID(r.string())
	f.epoch, f.first, f.time = r.uint(), r.uint(), r.int()
	n := r.items()
	switch {
	case r.bad:
		return nil, errFrame
	case f.carrier != carrier:
		return nil, fmt.Errorf("a frame of carrier %q came on %q", f.carrier, carrier)
	case f.first == 0 || f.first > 1<<62 || n > frameMessagesMax:
		return nil, errFrame
	}
	if err := verify(f.publisher, raw); err != nil {
		return nil, err
	}
	f.messages = make([]*message, 0, n)
	topic, publisher := "", structs.NodeID(f.publisher.String())
	for i := range n {
		m := r.message(f.time, &topic)
		if r.bad || !structs.ValidTopic(m.Topic) || m.Reply != "" && !structs.ValidTopic(m.Reply) {
			return nil, errFrame
		}
		m.publisher, m.Publisher, m.Epoch, m.Seq = f.publisher, publisher, f.epoch, f.first+uint64(i)
		if f.messages = append(f.messages, m); m.Retain {
			m.frame = f
		}
	}
	if len(r.rest) > 0 || n > 1 && f.messages[0].Retain {
		return nil, errFrame
	}
	return f, nil
}

func verify(publisher peer.ID, raw []byte) error {
	pub, err := publisher.ExtractPublicKey()
	if err != nil {
		return fmt.Errorf("publisher of a frame: %w", err)
	}
	ok, err := pub.Verify(signed(raw), raw[:ed25519.SignatureSize])
	if err == nil && !ok {
		err = fmt.Errorf("a frame is not signed by its publisher %s", publisher)
	}
	return err
}

// reader reads msgpack. After the first thing that is not what was asked for it is bad, and gives zeros.
type reader struct {
	rest []byte
	bad  bool
}

func read[T any](r *reader, from func([]byte) (T, []byte, error)) (v T) {
	if r.bad {
		return v
	}
	v, rest, err := from(r.rest)
	if err != nil {
		var zero T
		r.bad = true
		return zero
	}
	r.rest = rest
	return v
}

func (r *reader) uint() uint64   { return read(r, msgp.ReadUint64Bytes) }
func (r *reader) int() int64     { return read(r, msgp.ReadInt64Bytes) }
func (r *reader) string() string { return string(read(r, msgp.ReadStringZC)) }

// items is the length of the array at hand; one that the bytes left cannot hold is bad before anybody allocates for it.
func (r *reader) items() int {
	n := int(read(r, msgp.ReadArrayHeaderBytes))
	if n > len(r.rest) {
		r.bad = true
		return 0
	}
	return n
}

// message reads one; lastTopic saves an allocation where a publisher stays with its topic.
func (r *reader) message(base int64, lastTopic *string) *message {
	m := &message{}
	fields := r.items()
	flags := r.uint()
	if t := read(r, msgp.ReadStringZC); string(t) == *lastTopic {
		m.Topic = *lastTopic
	} else {
		m.Topic = string(t)
		*lastTopic = m.Topic
	}
	m.Time = time.Unix(0, base+r.int())
	m.Data = append([]byte{}, read(r, msgp.ReadBytesZC)...)
	want := 4
	if flags&flagHeaders != 0 {
		want++
		m.Headers = r.headers()
	}
	if flags&flagReply != 0 {
		want++
		m.Reply = r.string()
	}
	if flags&flagGroups != 0 {
		want++
		for range r.items() {
			if r.items() != 3 {
				r.bad = true
			}
			if r.bad {
				break
			}
			m.groups = append(m.groups, chosen{groupKey{r.string(), r.string()}, peer.ID(r.string())})
		}
	}
	m.Retain = flags&flagRetain != 0
	if fields != want {
		r.bad = true
	}
	return m
}

func (r *reader) headers() map[string]string {
	n := int(read(r, msgp.ReadMapHeaderBytes))
	if n > len(r.rest) || n > structs.MessageHeadersMax {
		r.bad = true
		return nil
	}
	h := make(map[string]string, n)
	for range n {
		k := r.string()
		h[k] = r.string()
	}
	return h
}
