package creds

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/mr-tron/base58"

	"github.com/debros/debros/internal/atomicfile"
	"github.com/debros/debros/structs"
)

// NodeKey is a node's private key. Its public half names the node for ever.
type NodeKey struct {
	private ed25519.PrivateKey
	id      structs.NodeID
}

// nodeKeyBytesMax bounds what is read from node.key; a real one has 119 bytes.
const nodeKeyBytesMax = 4 << 10

// LoadOrCreateNodeKey reads the key from path or, where no file is, makes one and writes it with
// mode 0600. created reports which. A file that cannot be read as a key is an error and is never replaced:
// a new key would be a new node.
func LoadOrCreateNodeKey(path string) (k *NodeKey, created bool, err error) {
	k, err = ReadNodeKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, false, err
	}
	if k, err = GenerateNodeKey(); err != nil {
		return nil, false, err
	}
	return k, true, k.write(path)
}

// ReadNodeKey reads the key from path; the error wraps fs.ErrNotExist where no file is.
func ReadNodeKey(path string) (*NodeKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read node key: %w", err)
	}
	// Group access is let pass: container platforms set it on every mounted volume.
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("node key %s is open to every user (mode %04o): run chmod 600 on it", path, info.Mode().Perm())
	}
	if info.Size() > nodeKeyBytesMax {
		return nil, fmt.Errorf("node key %s is no key: it has %d bytes", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read node key: %w", err)
	}
	k, err := parseNodeKey(data)
	if err != nil {
		return nil, fmt.Errorf("node key %s: %w", path, err)
	}
	return k, nil
}

// GenerateNodeKey makes a key that is in no file.
func GenerateNodeKey() (*NodeKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate node key: %w", err)
	}
	return newNodeKey(private), nil
}

// NodeKeyFromSeed makes the key of a seed of 32 bytes (RFC 8032).
func NodeKeyFromSeed(seed []byte) (*NodeKey, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("node key seed has %d bytes, not %d", len(seed), ed25519.SeedSize)
	}
	return newNodeKey(ed25519.NewKeyFromSeed(seed)), nil
}

func newNodeKey(private ed25519.PrivateKey) *NodeKey {
	return &NodeKey{private: private, id: PeerID(private.Public().(ed25519.PublicKey))}
}

// ID is the node's id, the libp2p peer id of the key.
func (k *NodeKey) ID() structs.NodeID { return k.id }

// Private is the key itself, for the overlay, which needs it to be the same peer. Treat it as secret.
func (k *NodeKey) Private() ed25519.PrivateKey { return k.private }

// PeerID is the libp2p peer id of an Ed25519 public key: base58btc of the identity multihash (code
// 0x00, length 0x24) of the protobuf PublicKey{Type: Ed25519 (field 1: 08 01), Data: (field 2: 12 20)}.
// Source: libp2p specs, peer-ids.
func PeerID(pub ed25519.PublicKey) structs.NodeID {
	b := append([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, pub...)
	return structs.NodeID(base58.Encode(b))
}

func (k *NodeKey) write(path string) error {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return fmt.Errorf("encode node key: %w", err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := atomicfile.Write(path, data, 0o600); err != nil {
		return fmt.Errorf("write node key: %w", err)
	}
	return nil
}

func parseNodeKey(data []byte) (*NodeKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("not a PEM private key; restore it from a backup, or remove it and this node becomes a new one")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("not a PKCS #8 private key: %w", err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a %T, but a node key is Ed25519", key)
	}
	return newNodeKey(private), nil
}
