package creds

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// testCA is a deployment's own authority.
type testCA struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

type certOpts struct {
	dns      []string
	uris     []string
	anyUsage bool
	expired  bool
}

func newTestCA(t *testing.T) *testCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "own ca"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	return &testCA{key, cert}
}

// config writes a certificate and its files into dir and gives the configuration that reads them.
func (ca *testCA) config(t *testing.T, dir string, role structs.Role, dc string, o certOpts) Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, DNSNames: o.dns,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if o.anyUsage {
		template.ExtKeyUsage = nil
	}
	if o.expired {
		template.NotAfter = time.Now().Add(-time.Minute)
	}
	for _, s := range o.uris {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, u)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, _ := x509.MarshalPKCS8PrivateKey(key)
	cfg := Config{Role: role, Datacenter: dc,
		CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	for path, b := range map[string]*pem.Block{
		cfg.CAFile:   {Type: "CERTIFICATE", Bytes: ca.cert.Raw},
		cfg.CertFile: {Type: "CERTIFICATE", Bytes: der},
		cfg.KeyFile:  {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func TestOwnCertificatesCarryTheRole(t *testing.T) {
	ca := newTestCA(t)
	server, err := Open(ca.config(t, t.TempDir(), structs.RoleServer, "dc1", certOpts{dns: []string{"host.example", "server.dc1.debros"}}))
	if err != nil {
		t.Fatal(err)
	}
	cfg := ca.config(t, t.TempDir(), structs.RoleClient, "dc1", certOpts{dns: []string{"client.dc1.debros"}})
	cfg.Node, _ = GenerateNodeKey()
	client, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if client.Identity().ID != cfg.Node.ID() {
		t.Error("the node does not know its own id")
	}
	ss, _, serr, cerr := handshake(t, server.ServerTLS(), client.ClientTLS())
	if serr != nil || cerr != nil {
		t.Fatalf("server %v, client %v", serr, cerr)
	}
	peer, err := server.PeerIdentity(ss)
	if err != nil || peer != (Identity{Role: structs.RoleClient, Datacenter: "dc1", Verified: true}) {
		t.Errorf("peer %+v, %v", peer, err)
	}
	if server.NotAfter().After(time.Now().Add(time.Hour)) {
		t.Errorf("not after %v", server.NotAfter())
	}
}

func TestOwnCertificateMistakesAreFoundAtStart(t *testing.T) {
	ca := newTestCA(t)
	for name, tc := range map[string]struct {
		o    certOpts
		want string
	}{
		"no role":         {certOpts{dns: []string{"host.example"}}, "needs the DNS name server.<datacenter>.debros"},
		"wildcard":        {certOpts{dns: []string{"*.dc1.debros"}}, "names no debros role"},
		"other role":      {certOpts{dns: []string{"client.dc1.debros"}}, "needs the DNS name server.dc1.debros"},
		"other dc":        {certOpts{dns: []string{"server.dc2.debros"}}, "needs the DNS name server.dc1.debros"},
		"expired":         {certOpts{dns: []string{"server.dc1.debros"}, expired: true}, "expired"},
		"half a uri":      {certOpts{uris: []string{"debros://dc1/server"}}, "is not debros://"},
		"role of the uri": {certOpts{uris: []string{"debros://dc1/boss/x"}}, "is not debros://"},
		"two uris":        {certOpts{uris: []string{"debros://dc1/server/a", "debros://dc1/server/b"}}, "two debros://"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(ca.config(t, t.TempDir(), structs.RoleServer, "dc1", tc.o))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
	t.Run("other ca", func(t *testing.T) {
		cfg := ca.config(t, t.TempDir(), structs.RoleServer, "dc1", certOpts{dns: []string{"server.dc1.debros"}})
		other := newTestCA(t).config(t, t.TempDir(), structs.RoleServer, "dc1", certOpts{dns: []string{"server.dc1.debros"}})
		cfg.CAFile = other.CAFile
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "authority") {
			t.Errorf("error %v", err)
		}
	})
}

func TestReloadSwapsCertificatesAndKeepsTheOldOnAnError(t *testing.T) {
	dir := t.TempDir()
	first := newTestCA(t)
	opts := certOpts{dns: []string{"server.dc1.debros"}, uris: []string{"debros://dc1/server/one"}}
	c, err := Open(first.config(t, dir, structs.RoleServer, "dc1", opts))
	if err != nil {
		t.Fatal(err)
	}
	// The configurations are taken once, as a listener does, and must follow.
	server, client := c.ServerTLS(), c.ClientTLS()
	id := func() structs.NodeID {
		t.Helper()
		ss, _, serr, cerr := handshake(t, server, client)
		if serr != nil || cerr != nil {
			t.Fatalf("server %v, client %v", serr, cerr)
		}
		peer, err := c.PeerIdentity(ss)
		if err != nil {
			t.Fatal(err)
		}
		return peer.ID
	}
	if got := id(); got != "one" {
		t.Fatalf("id %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Reload(); err == nil {
		t.Fatal("a torn file was taken")
	}
	if got := id(); got != "one" {
		t.Fatalf("after a failed reload: id %q", got)
	}
	opts.uris = []string{"debros://dc1/server/two"}
	newTestCA(t).config(t, dir, structs.RoleServer, "dc1", opts)
	if err := c.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := id(); got != "two" {
		t.Fatalf("after a reload: id %q", got)
	}
	if got := c.Identity().ID; got != "two" {
		t.Fatalf("own id %q", got)
	}
}

func FuzzParseClusterKey(f *testing.F) {
	f.Add(fixedClusterKey().Encode())
	f.Add("")
	f.Add("====")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseClusterKey(s)
		if err == nil {
			if again, err := ParseClusterKey(k.Encode()); err != nil || again != k || k.IsZero() {
				t.Errorf("%q does not come back: %v", s, err)
			}
		}
	})
}

func FuzzParseNodeKey(f *testing.F) {
	path := filepath.Join(f.TempDir(), "node.key")
	if _, _, err := LoadOrCreateNodeKey(path); err != nil {
		f.Fatal(err)
	}
	good, _ := os.ReadFile(path)
	f.Add(good)
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := parseNodeKey(data); err == nil && len(k.ID()) != 52 {
			t.Errorf("id %q", k.ID())
		}
	})
}

// FuzzPeerCertificate feeds what an unverified peer may send to the parser of names.
func FuzzPeerCertificate(f *testing.F) {
	ca, _ := fixedClusterKey().CA()
	node, _ := GenerateNodeKey()
	cert, _ := ca.MintCert(node, structs.RoleServer, "dc1")
	f.Add(cert.Certificate[0])
	f.Add(ca.Certificate().Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		id, err := identityOf(leaf, "dc1")
		if err == nil && (!validRole(id.Role) || !validDatacenter(id.Datacenter)) {
			t.Errorf("identity %+v", id)
		}
	})
}
