package overlay

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	alice   = peer.ID("alice")
	bob     = peer.ID("bob")
	mallory = peer.ID("mallory")
)

// both runs the protocol over a pipe. Each side believes to talk with whom its arguments say.
func both(i, r []byte, iSelf, iOther, rSelf, rOther peer.ID, admit func(instance) verdict) (iErr, rErr error) {
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- respond(b, r, rSelf, rOther, newInstance(), admit)
		_ = b.Close()
	}()
	_ = a.SetDeadline(time.Now().Add(patience))
	_, iErr = initiate(a, i, iSelf, iOther, newInstance())
	_ = a.Close()
	return iErr, <-done
}

func admitAll(instance) verdict { return verdictMember }

func TestProofNeedsTheSecretAndBothIDs(t *testing.T) {
	one, two := secretOf("one"), secretOf("two")
	for name, c := range map[string]struct {
		i, r                         []byte
		iSelf, iOther, rSelf, rOther peer.ID
		ok                           bool
	}{
		"members":          {one, one, alice, bob, bob, alice, true},
		"another secret":   {one, two, alice, bob, bob, alice, false},
		"no secret":        {make([]byte, SecretBytes), one, alice, bob, bob, alice, false},
		"man in between 1": {one, one, alice, mallory, bob, alice, false},
		"man in between 2": {one, one, alice, bob, bob, mallory, false},
		"reflected":        {one, one, alice, bob, alice, bob, false},
	} {
		t.Run(name, func(t *testing.T) {
			iErr, rErr := both(c.i, c.r, c.iSelf, c.iOther, c.rSelf, c.rOther, admitAll)
			if c.ok != (iErr == nil) || c.ok != (rErr == nil) {
				t.Errorf("initiator %v, responder %v", iErr, rErr)
			}
			if !c.ok && !errors.Is(rErr, errNotMember) {
				t.Errorf("responder %v", rErr)
			}
		})
	}
}

// What was seen in one run is worth nothing in another: the responder's nonce is new.
func TestAReplayedProofIsRefused(t *testing.T) {
	secret := secretOf("one")
	var seen bytes.Buffer // what the initiator sent
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- respond(b, secret, bob, alice, newInstance(), admitAll) }()
	if _, err := initiate(tee{a, &seen}, secret, alice, bob, newInstance()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c, d := net.Pipe()
	go func() { done <- respond(d, secret, bob, alice, newInstance(), admitAll) }()
	go func() { _, _ = io.Copy(io.Discard, c) }()
	if _, err := c.Write(seen.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, errNotMember) {
		t.Errorf("a replay: %v", err)
	}
	_ = c.Close()
}

type tee struct {
	io.ReadWriter
	copy io.Writer
}

func (t tee) Write(b []byte) (int, error) {
	_, _ = t.copy.Write(b)
	return t.ReadWriter.Write(b)
}

// A stranger who answers our hello cannot make us stop with "key in use".
func TestAForgedVerdictIsRefused(t *testing.T) {
	a, b := net.Pipe()
	go func() {
		_, _ = readHello(b)
		_, _ = b.Write(newHello(newInstance()).encode())
		_, _ = io.ReadFull(b, make([]byte, macBytes))
		_, _ = b.Write(append([]byte{byte(verdictInUse)}, make([]byte, macBytes)...))
	}()
	if _, err := initiate(a, secretOf("one"), alice, bob, newInstance()); !errors.Is(err, errNotMember) {
		t.Errorf("err = %v", err)
	}
	iErr, rErr := both(secretOf("one"), secretOf("one"), alice, bob, bob, alice, func(instance) verdict { return verdictInUse })
	if !errors.Is(iErr, errKeyInUse) || !errors.Is(rErr, errKeyInUse) {
		t.Errorf("a true one: initiator %v, responder %v", iErr, rErr)
	}
}

func TestTheProofsWireFormatStays(t *testing.T) {
	x := exchange{secret: secretOf("golden"), initiator: alice, responder: bob}
	x.hi.instance, x.hr.instance = instance{1}, instance{2}
	x.hi.nonce, x.hr.nonce = [nonceBytes]byte{3}, [nonceBytes]byte{4}
	for name, got := range map[string][2]string{
		"hello":     {hexOf(x.hi.encode()), goldenHello},
		"initiator": {hexOf(x.macInitiator()), goldenInitiator},
		"responder": {hexOf(x.macResponder(verdictMember)), goldenResponder},
	} {
		if got[0] != got[1] {
			t.Errorf("%s = %s, want %s: nodes of other versions do not understand this", name, got[0], got[1])
		}
	}
}

// Whatever a peer sends, neither side takes it for a member, and both end.
func FuzzProof(f *testing.F) {
	f.Add([]byte{}, true)
	f.Add(newHello(instance{}).encode(), false)
	f.Add(append(newHello(instance{}).encode(), make([]byte, macBytes)...), true)
	f.Add(append(newHello(instance{}).encode(), make([]byte, verdictBytes)...), false)
	f.Fuzz(func(t *testing.T, in []byte, initiator bool) {
		rw := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(in), io.Discard}
		var err error
		if initiator {
			_, err = initiate(rw, secretOf("one"), alice, bob, newInstance())
		} else {
			err = respond(rw, secretOf("one"), alice, bob, newInstance(), func(instance) verdict {
				t.Error("a stranger is asked about")
				return verdictMember
			})
		}
		if err == nil {
			t.Error("a stranger passed")
		}
	})
}
