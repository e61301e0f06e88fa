package overlay

import (
	"crypto/ed25519"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/internal/creds"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// testKey is a node key of a seed, and its peer id.
func testKey(t testing.TB, seed byte) (ed25519.PrivateKey, peer.ID) {
	t.Helper()
	k, err := creds.NodeKeyFromSeed(append([]byte{seed}, make([]byte, 31)...))
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.Decode(string(k.ID()))
	if err != nil {
		t.Fatal(err)
	}
	return k.Private(), id
}

var testNow = time.Unix(1_800_000_000, 0)

func TestRecordsOfOthersMakingAreRefused(t *testing.T) {
	key, owner := testKey(t, 1)
	other, stranger := testKey(t, 2)
	at := RecordKey(owner, "node")
	v := recordValidator{now: func() time.Time { return testNow }}
	sign := func(k ed25519.PrivateKey, at string, expires time.Time) []byte {
		b, err := signRecord(k, at, 7, expires, []byte("data"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := sign(key, at, testNow.Add(time.Hour))
	if err := v.Validate(at, good); err != nil {
		t.Fatalf("a good record: %v", err)
	}
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)/2] ^= 1 // within the signature
	for name, c := range map[string]struct {
		key   string
		value []byte
		want  string
	}{
		"another's key":       {at, sign(other, at, testNow.Add(time.Hour)), "signature"},
		"another place":       {RecordKey(owner, "other"), good, "signature"},
		"another owner":       {RecordKey(stranger, "node"), good, "signature"},
		"bad signature":       {at, flipped, "signature"},
		"expired":             {at, sign(key, at, testNow.Add(-time.Hour)), "expired"},
		"for ever":            {at, sign(key, at, testNow.Add(1000*time.Hour)), "too far"},
		"too large":           {at, make([]byte, RecordBytesMax+1), "larger"},
		"bytes after its end": {at, append(append([]byte(nil), good...), 0), "after its end"},
		"nonsense":            {at, []byte("nonsense"), "not a record"},
		"empty":               {at, nil, "not a record"},
		"no key":              {"/debros/x", good, "not a key"},
	} {
		if err := v.Validate(c.key, c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnOlderRecordNeverReplacesANewerOne(t *testing.T) {
	key, owner := testKey(t, 1)
	at := RecordKey(owner, "node")
	v := recordValidator{now: func() time.Time { return testNow }}
	var list [][]byte
	for _, seq := range []uint64{3, 9, 5, 9} {
		b, err := signRecord(key, at, seq, testNow.Add(time.Hour), []byte{byte(len(list))})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	list = append(list, []byte("nonsense"))
	if i, err := v.Select(at, list); err != nil || i != 1 && i != 3 {
		t.Errorf("select = %d, %v", i, err)
	}
	// Which of two equals is taken does not depend on their order.
	i, _ := v.Select(at, [][]byte{list[1], list[3]})
	j, _ := v.Select(at, [][]byte{list[3], list[1]})
	if i == j {
		t.Error("two records of one sequence are chosen by their order")
	}
	if _, err := v.Select(at, [][]byte{nil, {1}}); err == nil {
		t.Error("nothing valid, but one is selected")
	}
}

func TestTheRecordsFormatStays(t *testing.T) {
	key, owner := testKey(t, 1)
	b, err := signRecord(key, RecordKey(owner, "node"), 7, testNow, []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	if got := hexOf(b); got != goldenRecord {
		t.Errorf("record = %s, want %s: nodes of other versions do not understand this", got, goldenRecord)
	}
}

func FuzzRecord(f *testing.F) {
	key, owner := testKey(f, 1)
	at := RecordKey(owner, "node")
	good, err := signRecord(key, at, 7, testNow.Add(time.Hour), []byte("data"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(at, good)
	f.Add("/debros//", []byte{0x80})
	f.Fuzz(func(t *testing.T, key string, b []byte) {
		r, err := openRecord(key, b, testNow)
		if err == nil && (string(r.Data) != "data" || r.Sequence != 7 || key != at) {
			t.Errorf("a forged record passes: %q %x", key, b)
		}
	})
}

func FuzzAdvert(f *testing.F) {
	b, err := encodeAdvert(advert{Offers: []string{"service:database"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := parseAdvert(b); err == nil && a.check() != nil {
			t.Errorf("%x is beyond the limits", b)
		}
	})
}

func FuzzExchangeReply(f *testing.F) {
	f.Add([]byte(`{"peers":[{"id":"12D3KooWRhT5vWYkRMvkxXkqM8ckMfmfFPC1TXtNnWH95obsgDUK","addrs":["/ip4/10.0.0.1/udp/4001/quic"]}]}`))
	f.Add([]byte(`{"peers":[{"id":"x","addrs":["/ip4/127.0.0.1/tcp/1"]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseExchange(b, addrRule{})
		for _, info := range list {
			if err != nil || len(info.Addrs) == 0 || len(info.Addrs) > exchangeAddrsMax {
				t.Errorf("%v, %v", info, err)
			}
			for _, a := range info.Addrs {
				if !(addrRule{}).usable(a) {
					t.Errorf("%s is to be dialled", a)
				}
			}
		}
	})
}
