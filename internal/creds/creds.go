// Package creds holds what proves that a node belongs: the node key, the cluster key, the
// certificates made from them or given in files, and the TLS configurations that check a peer.
//
// Contract: every connection between nodes is TLS 1.3, mutual, and the peer's role is read from its
// certificate. A dialer accepts only a peer whose certificate says server; a client's certificate
// is good for dialing and for nothing else. Two sources of certificates exist:
//
//   - cluster key: the key derives a CA (the same on every node), and each node mints its own
//     certificate in memory over its node key. The name is the URI debros://<dc>/<role>/<node id>,
//     and the node id must be the one of the certificate's public key, so that a member cannot pose
//     as another node. These certificates do not expire: whoever holds the cluster key can mint.
//   - own CA: ca_file, cert_file and key_file, in PEM. The name is the DNS name <role>.<dc>.debros;
//     the URI may be given as well, to carry the node id. Reload reads the files again.
//
// Files: node.key is an Ed25519 private key, PKCS #8 in PEM, mode 0600.
package creds

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/debros/debros/structs"
)

// Config says who this node is and where its certificate comes from: exactly one of ClusterKey and
// the three files.
type Config struct {
	Node       *NodeKey // needed with ClusterKey, and to fill in Identity.ID
	Role       structs.Role
	Datacenter string

	ClusterKey ClusterKey // zero = none

	CAFile   string
	CertFile string
	KeyFile  string
}

// Creds is one node's certificate and the CA it trusts. Safe for concurrent use.
type Creds struct {
	cfg Config

	// reloading makes reloads one at a time; readers never take it.
	reloading sync.Mutex
	current   atomic.Pointer[material]
}

// material is one generation of certificates; it never changes once stored.
type material struct {
	cert     tls.Certificate
	roots    *x509.CertPool
	identity Identity
	notAfter time.Time
}

// Open makes or reads the certificates. The error names the setting or file to put right.
func Open(cfg Config) (*Creds, error) {
	if cfg.Role != structs.RoleServer && cfg.Role != structs.RoleClient {
		return nil, fmt.Errorf("role %q is neither server nor client", cfg.Role)
	}
	if !validDatacenter(cfg.Datacenter) {
		return nil, fmt.Errorf("datacenter %q: use lower-case letters, digits, - and _ (63 at most)", cfg.Datacenter)
	}
	files := cfg.CAFile != "" || cfg.CertFile != "" || cfg.KeyFile != ""
	switch {
	case files && !cfg.ClusterKey.IsZero():
		// The gossip key may still come from the cluster key; the caller derives that without us.
		return nil, errors.New("a cluster key and certificate files are both given: TLS uses one of them")
	case files && (cfg.CAFile == "" || cfg.CertFile == "" || cfg.KeyFile == ""):
		return nil, errors.New("ca_file, cert_file and key_file go together: all three or none")
	case !files && cfg.ClusterKey.IsZero():
		return nil, errors.New("neither a cluster key nor certificate files are given")
	case !files && cfg.Node == nil:
		return nil, errors.New("a node key is needed to mint a certificate")
	}
	c := &Creds{cfg: cfg}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the certificate files again and uses them for every handshake from now on. Open
// connections keep what they have. After an error the old certificates stay in use. With a cluster
// key there is nothing to read and nothing changes.
func (c *Creds) Reload() error {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	var m *material
	var err error
	switch {
	case c.cfg.CertFile != "":
		m, err = c.load()
	case c.current.Load() != nil:
		return nil
	default:
		m, err = c.mint()
	}
	if err != nil {
		return err
	}
	c.current.Store(m)
	return nil
}

// Identity is this node as its peers see it.
func (c *Creds) Identity() Identity { return c.current.Load().identity }

// NotAfter is when this node's certificate stops being valid.
func (c *Creds) NotAfter() time.Time { return c.current.Load().notAfter }

func (c *Creds) mint() (*material, error) {
	ca, err := c.cfg.ClusterKey.CA()
	if err != nil {
		return nil, err
	}
	cert, err := ca.MintCert(c.cfg.Node, c.cfg.Role, c.cfg.Datacenter)
	if err != nil {
		return nil, err
	}
	return c.check(cert, ca.Pool(), "minted certificate")
}

func (c *Creds) load() (*material, error) {
	caPEM, err := os.ReadFile(c.cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caPEM) {
		return nil, fmt.Errorf("ca_file %s: no certificate in it", c.cfg.CAFile)
	}
	cert, err := tls.LoadX509KeyPair(c.cfg.CertFile, c.cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("cert_file %s, key_file %s: %w", c.cfg.CertFile, c.cfg.KeyFile, err)
	}
	return c.check(cert, roots, "cert_file "+c.cfg.CertFile)
}

// check holds our own certificate to what a peer will hold it to, so that a mistake is found at
// start-up and at reload and not as a refused connection on another machine.
func (c *Creds) check(cert tls.Certificate, roots *x509.CertPool, what string) (*material, error) {
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	cert.Leaf = leaf
	chain := []*x509.Certificate{leaf}
	for _, der := range cert.Certificate[1:] {
		ic, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: intermediate certificate: %w", what, err)
		}
		chain = append(chain, ic)
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} // every node dials
	if c.cfg.Role == structs.RoleServer {
		usages = append(usages, x509.ExtKeyUsageServerAuth)
	}
	for _, usage := range usages {
		if err := verifyChain(chain, roots, usage); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	id, err := identityOf(leaf, c.cfg.Datacenter)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if id.Role != c.cfg.Role || id.Datacenter != c.cfg.Datacenter {
		return nil, fmt.Errorf("%s: it is for a %s of datacenter %s, but this node is a %s of %s: the certificate needs the DNS name %s",
			what, id.Role, id.Datacenter, c.cfg.Role, c.cfg.Datacenter, dnsName(c.cfg.Role, c.cfg.Datacenter))
	}
	if id.ID == "" && c.cfg.Node != nil {
		id.ID = c.cfg.Node.ID()
	}
	return &material{cert: cert, roots: roots, identity: id, notAfter: leaf.NotAfter}, nil
}
