package creds

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/debros/debros/structs"
)

// CA is the certificate authority derived from a cluster key: the same certificate on every node.
type CA struct {
	private ed25519.PrivateKey
	cert    *x509.Certificate
}

// validity of everything made from the cluster key. It is fixed so that the CA has one form, and so that a node
// with a wrong clock still joins. An end would protect nobody: the key that signs is on every node.
var (
	validFrom  = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) // RFC 5280: no well-defined end
)

// CA derives the authority.
func (k ClusterKey) CA() (*CA, error) {
	private := ed25519.NewKeyFromSeed(k.Derive(purposeCA, ed25519.SeedSize))
	pub := private.Public().(ed25519.PublicKey)
	keyID := sha256.Sum256(pub)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "debros cluster"},
		NotBefore:             validFrom,
		NotAfter:              validUntil,
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SubjectKeyId:          keyID[:20], // given, since the library's own choice has changed between versions
		SignatureAlgorithm:    x509.PureEd25519,
	}
	// An Ed25519 signature takes no randomness, so the bytes are the same everywhere.
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, private)
	if err != nil {
		return nil, fmt.Errorf("derive cluster ca: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("derive cluster ca: %w", err)
	}
	return &CA{private: private, cert: cert}, nil
}

// Certificate is the CA's own certificate.
func (ca *CA) Certificate() *x509.Certificate { return ca.cert }

// Pool holds the CA as the only root.
func (ca *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.cert)
	return p
}

// MintCert makes a node's certificate over its node key. A client's is for client authentication only.
func (ca *CA) MintCert(node *NodeKey, role structs.Role, datacenter string) (tls.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("mint certificate: %w", err)
	}
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if role == structs.RoleServer {
		usage = append(usage, x509.ExtKeyUsageServerAuth)
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		// Peer ids have 52 characters, so they fit the 64 of a common name.
		Subject:     pkix.Name{CommonName: string(node.ID())},
		NotBefore:   validFrom,
		NotAfter:    validUntil,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: usage,
		URIs:        []*url.URL{identityURI(node.ID(), role, datacenter)},
		DNSNames:    []string{dnsName(role, datacenter)},
	}
	private := node.Private()
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, private.Public(), ca.private)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("mint certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, nil
}
