package creds

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/debros/debros/structs"
)

// ErrNotServer is what a dialer answers to a peer whose certificate is not a server's.
var ErrNotServer = errors.New("the peer's certificate is not a server's")

// ServerTLS is for accepting: it demands a certificate of either role. It follows reloads.
func (c *Creds) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The chain is verified by us, in verifyPeer, against the roots of this moment.
		ClientAuth: tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.current.Load().cert, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := c.verifyPeer(cs, x509.ExtKeyUsageClientAuth)
			return err
		},
		// A resumed session would carry an identity past a reload.
		SessionTicketsDisabled: true,
	}
}

// ClientTLS is for dialing: it demands a peer of role server. It follows reloads.
func (c *Creds) ClientTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Nodes are dialed by address, which no certificate of ours names: verifyPeer verifies the chain and
		// the role instead of a host name.
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &c.current.Load().cert, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			id, err := c.verifyPeer(cs, x509.ExtKeyUsageServerAuth)
			if err != nil {
				return err
			}
			if id.Role != structs.RoleServer {
				return ErrNotServer
			}
			return nil
		},
	}
}

// PeerIdentity reads the identity of a connection whose handshake with ServerTLS or ClientTLS succeeded.
func (c *Creds) PeerIdentity(cs tls.ConnectionState) (Identity, error) {
	if !cs.HandshakeComplete || len(cs.PeerCertificates) == 0 {
		return Identity{}, errors.New("the peer has not proven who it is")
	}
	return identityOf(cs.PeerCertificates[0], c.cfg.Datacenter)
}

func (c *Creds) verifyPeer(cs tls.ConnectionState, usage x509.ExtKeyUsage) (Identity, error) {
	if len(cs.PeerCertificates) == 0 {
		return Identity{}, errors.New("the peer sent no certificate")
	}
	if err := verifyChain(cs.PeerCertificates, c.current.Load().roots, usage); err != nil {
		return Identity{}, err
	}
	return identityOf(cs.PeerCertificates[0], c.cfg.Datacenter)
}

// verifyChain checks signatures, validity and usage; names are the caller's.
func verifyChain(chain []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage) error {
	intermediates := x509.NewCertPool()
	for _, ic := range chain[1:] {
		intermediates.AddCert(ic)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{usage},
	})
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("the certificate is not of this cluster's authority: %w", err)
	case err != nil:
		return fmt.Errorf("verify certificate: %w", err)
	}
	return nil
}
