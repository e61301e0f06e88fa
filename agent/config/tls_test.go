package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

func selfSigned(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true}
	c, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kb, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c}))),
		write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kb})))
}

// nodeCert makes a node's certificate for a DNS name, and the authority that vouches for it.
func nodeCert(t *testing.T, dir, name string) (cert, key, ca string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	pemOf := func(file, kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return write(t, dir, file, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, k.Public(), k)
	ca = pemOf("ca.pem", "CERTIFICATE", rootDER, err)
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, k.Public(), k)
	cert = pemOf("node.pem", "CERTIFICATE", leafDER, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	return cert, pemOf("node-key.pem", "PRIVATE KEY", keyDER, err), ca
}
