package overlay

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// protoMember is the protocol by which two peers prove to each other that they hold the cluster's
// secret. All frames have a fixed size. I is the peer that opens the stream, R the other one:
//
//	I → R  hello  version(1) instance(16) nonce(32)
//	R → I  hello  version(1) instance(16) nonce(32)
//	I → R  MAC of I (32)
//	R → I  verdict(1), MAC of R over it (32)
//
// DESIGN.md has the argument for it.
const protoMember protocol.ID = "/debros/member/1.0.0"

const (
	proofVersion  = 1
	instanceBytes = 16
	nonceBytes    = 32
	macBytes      = sha256.Size
	helloBytes    = 1 + instanceBytes + nonceBytes
	verdictBytes  = 1 + macBytes

	labelInitiator = "debros member proof v1: initiator"
	labelResponder = "debros member proof v1: responder"
)

// verdict is what the responder makes of the initiator.
type verdict byte

const (
	verdictMember verdict = 0
	verdictInUse  verdict = 1 // a living agent with this key is connected already
)

// errNotMember: the peer does not hold the secret.
var errNotMember = errors.New("the peer has not proven to be a member of this cluster")

// errNoProof: the connection broke, or nobody answered in time.
var errNoProof = errors.New("the proof of membership was not finished")

// errKeyInUse: another agent runs with this node's key.
var errKeyInUse = errors.New("another agent with the same node key is connected to the cluster")

// instance names one run of an agent: a key that two agents use at once has two.
type instance [instanceBytes]byte

type hello struct {
	instance instance
	nonce    [nonceBytes]byte
}

func newInstance() (i instance) {
	_, _ = rand.Read(i[:]) // never fails: crypto/rand stops the program instead
	return i
}

func newHello(i instance) hello {
	h := hello{instance: i}
	_, _ = rand.Read(h.nonce[:])
	return h
}

func (h hello) encode() []byte {
	b := make([]byte, 0, helloBytes)
	b = append(b, proofVersion)
	b = append(b, h.instance[:]...)
	return append(b, h.nonce[:]...)
}

func readHello(r io.Reader) (hello, error) {
	var b [helloBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return hello{}, fmt.Errorf("read hello: %w", err)
	}
	return parseHello(b[:])
}

func parseHello(b []byte) (h hello, err error) {
	if len(b) != helloBytes {
		return h, fmt.Errorf("hello of %d bytes", len(b))
	}
	if b[0] != proofVersion {
		return h, fmt.Errorf("hello of version %d", b[0])
	}
	copy(h.instance[:], b[1:])
	copy(h.nonce[:], b[1+instanceBytes:])
	return h, nil
}

// exchange is one run of the protocol as both sides see it.
type exchange struct {
	secret               []byte
	initiator, responder peer.ID
	hi, hr               hello
}

func (x exchange) mac(label string, tail ...byte) []byte {
	m := hmac.New(sha256.New, x.secret)
	for _, field := range [][]byte{[]byte(label), []byte(x.initiator), []byte(x.responder), x.hi.encode(), x.hr.encode(), tail} {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(field)))
		m.Write(n[:])
		m.Write(field)
	}
	return m.Sum(nil)
}

func (x exchange) macInitiator() []byte          { return x.mac(labelInitiator) }
func (x exchange) macResponder(v verdict) []byte { return x.mac(labelResponder, byte(v)) }

// initiate runs the protocol as the peer that opened the stream.
func initiate(rw io.ReadWriter, secret []byte, self, other peer.ID, inst instance) (instance, error) {
	x := exchange{secret: secret, initiator: self, responder: other, hi: newHello(inst)}
	if _, err := rw.Write(x.hi.encode()); err != nil {
		return instance{}, fmt.Errorf("write hello: %w", err)
	}
	var err error
	if x.hr, err = readHello(rw); err != nil {
		return instance{}, err
	}
	if _, err := rw.Write(x.macInitiator()); err != nil {
		return instance{}, fmt.Errorf("write proof: %w", err)
	}
	var b [verdictBytes]byte
	if _, err := io.ReadFull(rw, b[:]); err != nil {
		return instance{}, fmt.Errorf("read verdict: %w", err)
	}
	v := verdict(b[0])
	switch {
	case !hmac.Equal(b[1:], x.macResponder(v)):
		return instance{}, errNotMember
	case v == verdictInUse:
		return instance{}, errKeyInUse
	case v != verdictMember:
		return instance{}, fmt.Errorf("verdict %d", v)
	}
	return x.hr.instance, nil
}

// respond runs the protocol as the other side. admit is asked only about a peer that has proven the
// secret, and before that peer is told.
func respond(rw io.ReadWriter, secret []byte, self, other peer.ID, inst instance, admit func(instance) verdict) error {
	x := exchange{secret: secret, initiator: other, responder: self, hr: newHello(inst)}
	var err error
	if x.hi, err = readHello(rw); err != nil {
		return err
	}
	if _, err := rw.Write(x.hr.encode()); err != nil {
		return fmt.Errorf("write hello: %w", err)
	}
	var got [macBytes]byte
	if _, err := io.ReadFull(rw, got[:]); err != nil {
		return fmt.Errorf("read proof: %w", err)
	}
	if !hmac.Equal(got[:], x.macInitiator()) {
		return errNotMember
	}
	v := admit(x.hi.instance)
	if _, err := rw.Write(append([]byte{byte(v)}, x.macResponder(v)...)); err != nil {
		return fmt.Errorf("write verdict: %w", err)
	}
	if v != verdictMember {
		return errKeyInUse
	}
	return nil
}
