package creds

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// ClusterKeyBytes is the length of a cluster key.
const ClusterKeyBytes = 32

// ClusterKey is the one secret of a cluster. The zero value is no key.
type ClusterKey struct {
	secret [ClusterKeyBytes]byte
}

// What the cluster key derives. The texts are part of the protocol: another text is another cluster.
const (
	purposeGossip = "debros gossip v1"
	purposeCA     = "debros ca v1"
	purposeMember = "debros member v1"
)

// GenerateClusterKey draws a new key.
func GenerateClusterKey() ClusterKey {
	var k ClusterKey
	for k.IsZero() {
		rand.Read(k.secret[:]) // never fails: crypto/rand stops the program instead
	}
	return k
}

// ParseClusterKey reads a key in base64 (standard or URL alphabet, padded or not). The error says what is wrong without
// repeating the text, which is a secret.
func ParseClusterKey(s string) (ClusterKey, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return ClusterKey{}, errors.New("the cluster key is empty; make one with: debros keygen")
	}
	t := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	raw, err := base64.RawStdEncoding.DecodeString(t)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	bad := strings.IndexFunc(t, func(r rune) bool { return !strings.ContainsRune(alphabet, r) })
	switch {
	case bad >= 0:
		return ClusterKey{}, fmt.Errorf("the cluster key is not base64: character %d is out of place; make one with: debros keygen", bad+1)
	case err != nil:
		return ClusterKey{}, errors.New("the cluster key is not base64: it is cut short; make one with: debros keygen")
	case len(raw) != ClusterKeyBytes:
		return ClusterKey{}, fmt.Errorf("the cluster key has %d bytes, not %d; make one with: debros keygen", len(raw), ClusterKeyBytes)
	}
	k := ClusterKey{secret: [ClusterKeyBytes]byte(raw)}
	if k.IsZero() {
		return ClusterKey{}, errors.New("the cluster key is all zeros; make one with: debros keygen")
	}
	return k, nil
}

// IsZero reports whether there is no key.
func (k ClusterKey) IsZero() bool { return k == ClusterKey{} }

// Encode is the key in base64, as ParseClusterKey reads it. It is not named String so that printing a key by
// accident does not reveal it.
func (k ClusterKey) Encode() string { return base64.StdEncoding.EncodeToString(k.secret[:]) }

// String hides the key.
func (k ClusterKey) String() string { return "(cluster key)" }

// GoString hides the key.
func (k ClusterKey) GoString() string { return k.String() }

// Format hides the key for every verb: %x and %d would reach an unexported field.
func (k ClusterKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// GossipKey is the AES-256 key of serf, 32 bytes.
func (k ClusterKey) GossipKey() []byte { return k.Derive(purposeGossip, 32) }

// MemberSecret is what members of the overlay prove to each other to hold, 32 bytes.
func (k ClusterKey) MemberSecret() []byte { return k.Derive(purposeMember, 32) }

// Derive makes n secret bytes for one purpose by HKDF-SHA256. Different purposes give independent bytes.
func (k ClusterKey) Derive(purpose string, n int) []byte {
	b, err := hkdf.Key(sha256.New, k.secret[:], nil, purpose, n)
	if err != nil {
		panic(fmt.Sprintf("hkdf of %d bytes: %v", n, err)) // only for n > 255*32, a mistake of ours
	}
	return b
}
