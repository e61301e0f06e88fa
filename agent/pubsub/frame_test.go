package pubsub

import (
	"bytes"
	"crypto/ed25519"
	"reflect"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/structs"
)

func idOf(t testing.TB, key ed25519.PrivateKey) peer.ID {
	t.Helper()
	k, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func sampleFrame(t testing.TB) (*frame, ed25519.PrivateKey) {
	key := newKey(t)
	id := idOf(t, key)
	at := time.Unix(1700000000, 5)
	f := &frame{carrier: "default.3", publisher: id, epoch: 7, first: 100, time: at.UnixNano() - 5, messages: []*message{{}, {}}}
	f.messages[0].Topic, f.messages[0].Time, f.messages[0].Data = "a.b", at, []byte("x")
	f.messages[0].Headers, f.messages[0].Reply = map[string]string{"k": "v", "q": ""}, "r.1"
	f.messages[1].Topic, f.messages[1].Time, f.messages[1].Data = "a.b", at.Add(-time.Second), []byte{}
	f.messages[1].groups = []chosen{{groupKey{"a.*", "g"}, id}}
	for i, m := range f.messages {
		m.publisher, m.Publisher, m.Epoch, m.Seq = id, structs.NodeID(id.String()), 7, 100+uint64(i)
	}
	f.seal(key)
	return f, key
}

func TestAFrameComesAsItWasSent(t *testing.T) {
	t.Parallel()
	f, _ := sampleFrame(t)
	got, err := openFrame("default.3", f.raw)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, f) {
		t.Errorf("got %+v\nwant %+v", got, f)
	}
}

func TestAFrameThatItsPublisherDidNotMakeIsRefused(t *testing.T) {
	t.Parallel()
	f, _ := sampleFrame(t)
	if _, err := openFrame("default.4", f.raw); err == nil {
		t.Error("a frame of another carrier is taken")
	}
	for i := range f.raw {
		raw := bytes.Clone(f.raw)
		raw[i] ^= 1
		if _, err := openFrame("default.3", raw); err == nil {
			t.Fatalf("a frame with a changed byte %d is taken", i)
		}
		if _, err := openFrame("default.3", f.raw[:i]); err == nil {
			t.Fatalf("the first %d bytes of a frame are taken", i)
		}
	}
	g := *f
	g.seal(newKey(t)) // by somebody else, in the publisher's name
	if _, err := openFrame("default.3", g.raw); err == nil {
		t.Error("a forged frame is taken")
	}
}

// FuzzFrame has frames signed whatever they say, so that what is behind the signature is read too.
func FuzzFrame(f *testing.F) {
	sample, key := sampleFrame(f)
	f.Add(sample.raw[ed25519.SignatureSize:])
	empty := &frame{carrier: "default.3", publisher: sample.publisher, epoch: 1, first: 1}
	empty.seal(key)
	f.Add(empty.raw[ed25519.SignatureSize:])
	f.Fuzz(func(t *testing.T, body []byte) {
		raw := append(make([]byte, ed25519.SignatureSize), body...)
		copy(raw, ed25519.Sign(key, signed(raw)))
		got, err := openFrame("default.3", raw)
		if err != nil {
			return
		}
		again := &frame{carrier: got.carrier, publisher: got.publisher, epoch: got.epoch, first: got.first, time: got.time, messages: got.messages}
		again.seal(key)
		if back, err := openFrame("default.3", again.raw); err != nil || len(back.messages) != len(got.messages) {
			t.Errorf("what was read cannot be written and read again: %v", err)
		}
	})
}
