package overlay

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds of records.
const (
	// RecordBytesMax is the size of a record, its signature included. The table takes larger values and
	// does not give them back.
	RecordBytesMax = 16 << 10
	// recordLifeMax: a record that is not renewed is forgotten.
	recordLifeMax = 48 * time.Hour
	// clockSkewMax is how far the clocks of members may differ.
	clockSkewMax = 10 * time.Minute
)

// recordNamespace is the first part of the key of a record: /debros/<peer id>/<name>.
const recordNamespace = "debros"

var recordNameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)

// Record is what its owner says under /debros/<owner>/<name>. Nobody else can say it, and an older one
// never replaces a newer one.
type Record struct {
	Version  int       `codec:"v"`
	Sequence uint64    `codec:"s"` // grows with every version; the time in ns will do
	Expires  time.Time `codec:"-"`
	Data     []byte    `codec:"d"`

	ExpiresUnix int64  `codec:"e"` // seconds
	Signature   []byte `codec:"g"`
}

// RecordKey is where the record of a peer is kept.
func RecordKey(owner peer.ID, name string) string {
	return "/" + recordNamespace + "/" + owner.String() + "/" + name
}

// parseRecordKey is the inverse.
func parseRecordKey(key string) (owner peer.ID, name string, err error) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 || parts[0] != "" || parts[1] != recordNamespace || !recordNameRE.MatchString(parts[3]) {
		return "", "", fmt.Errorf("%.200q is not a key: /debros/<peer id>/<name>", key)
	}
	if owner, err = peer.Decode(parts[2]); err != nil {
		return "", "", fmt.Errorf("key %.200q: %w", key, err)
	}
	return owner, parts[3], nil
}

// signedBytes is what the signature is over: the key too, so that a record is good in one place only.
func (r *Record) signedBytes(key string) ([]byte, error) {
	unsigned := *r
	unsigned.Signature = nil
	b, err := encodeRecord(&unsigned)
	if err != nil {
		return nil, err
	}
	return append([]byte("debros record v1\x00"+key+"\x00"), b...), nil
}

func encodeRecord(r *Record) ([]byte, error) {
	var buf bytes.Buffer
	err := codec.NewEncoder(&buf, &codec.MsgpackHandle{WriteExt: true}).Encode(r)
	return buf.Bytes(), err
}

// signRecord makes the bytes of a record.
func signRecord(key ed25519.PrivateKey, at string, seq uint64, expires time.Time, data []byte) ([]byte, error) {
	r := &Record{Version: 1, Sequence: seq, ExpiresUnix: expires.Unix(), Data: data}
	signed, err := r.signedBytes(at)
	if err != nil {
		return nil, err
	}
	r.Signature = ed25519.Sign(key, signed)
	b, err := encodeRecord(r)
	if err == nil && len(b) > RecordBytesMax {
		err = fmt.Errorf("a record of %d bytes is larger than %d", len(b), RecordBytesMax)
	}
	return b, err
}

// parseRecord reads bytes of a stranger; nothing is verified but the shape.
func parseRecord(b []byte) (*Record, error) {
	if len(b) > RecordBytesMax {
		return nil, fmt.Errorf("a record of %d bytes is larger than %d", len(b), RecordBytesMax)
	}
	h := &codec.MsgpackHandle{WriteExt: true}
	h.MaxInitLen = RecordBytesMax
	h.ErrorIfNoField = true
	r := new(Record)
	dec := codec.NewDecoderBytes(b, h)
	if err := dec.Decode(r); err != nil {
		return nil, fmt.Errorf("not a record: %w", err)
	}
	if dec.NumBytesRead() != len(b) {
		return nil, errors.New("not a record: bytes after its end")
	}
	if r.Version != 1 {
		return nil, fmt.Errorf("a record of version %d", r.Version)
	}
	r.Expires = time.Unix(r.ExpiresUnix, 0)
	return r, nil
}

// openRecord reads and verifies.
func openRecord(key string, b []byte, now time.Time) (*Record, error) {
	owner, _, err := parseRecordKey(key)
	if err != nil {
		return nil, err
	}
	r, err := parseRecord(b)
	if err != nil {
		return nil, err
	}
	pub, err := owner.ExtractPublicKey()
	if err != nil || pub.Type() != crypto.Ed25519 {
		return nil, fmt.Errorf("the owner %s has no Ed25519 key", owner)
	}
	signed, err := r.signedBytes(key)
	if err != nil {
		return nil, err
	}
	if ok, err := pub.Verify(signed, r.Signature); err != nil || !ok {
		return nil, errors.New("the signature is not the owner's")
	}
	switch {
	case now.After(r.Expires.Add(clockSkewMax)):
		return nil, fmt.Errorf("expired at %s", r.Expires.UTC().Format(time.RFC3339))
	case r.Expires.After(now.Add(recordLifeMax + clockSkewMax)):
		return nil, fmt.Errorf("expires at %s, which is too far away", r.Expires.UTC().Format(time.RFC3339))
	}
	return r, nil
}

// recordValidator tells the table which records to take and which of several is the newest.
type recordValidator struct {
	now func() time.Time
}

var _ record.Validator = recordValidator{}

// Validate implements record.Validator.
func (v recordValidator) Validate(key string, value []byte) error {
	_, err := openRecord(key, value, v.now())
	return err
}

// Select implements record.Validator: the highest sequence; of two versions with the same, the one with the
// greater bytes, so that all nodes agree.
func (v recordValidator) Select(key string, values [][]byte) (int, error) {
	best, found := 0, false
	var bestRec *Record
	for i, b := range values {
		r, err := openRecord(key, b, v.now())
		if err != nil {
			continue
		}
		if !found || r.Sequence > bestRec.Sequence || r.Sequence == bestRec.Sequence && bytes.Compare(b, values[best]) > 0 {
			best, bestRec, found = i, r, true
		}
	}
	if !found {
		return 0, errors.New("no valid record")
	}
	return best, nil
}
