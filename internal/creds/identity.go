package creds

import (
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/debros/debros/structs"
)

// Identity is who a peer is, as its certificate says. The zero value is an unknown peer, which is
// also what a peer without TLS is.
type Identity struct {
	ID         structs.NodeID // "" when a given certificate has no debros:// URI
	Role       structs.Role
	Datacenter string
	Verified   bool // the certificate was verified; false without TLS
}

const (
	uriScheme = "debros"
	dnsSuffix = ".debros"
)

var datacenterRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func validDatacenter(dc string) bool { return datacenterRE.MatchString(dc) }

func dnsName(role structs.Role, dc string) string { return string(role) + "." + dc + dnsSuffix }

func identityURI(id structs.NodeID, role structs.Role, dc string) *url.URL {
	return &url.URL{Scheme: uriScheme, Host: dc, Path: "/" + string(role) + "/" + string(id)}
}

// identityOf reads role, datacenter and id from a verified certificate. Where a certificate names
// several roles or datacenters, the one of datacenter local counts first, and server before client.
func identityOf(cert *x509.Certificate, local string) (Identity, error) {
	id, found, err := identityOfURIs(cert)
	if err != nil {
		return Identity{}, err
	}
	if found {
		return id, nil
	}
	var best Identity
	for _, name := range cert.DNSNames {
		role, dc, ok := parseDNSName(name)
		if !ok {
			continue
		}
		better := best.Role == "" ||
			(dc == local && best.Datacenter != local) ||
			(dc == best.Datacenter && role == structs.RoleServer)
		if better {
			best = Identity{Role: role, Datacenter: dc, Verified: true}
		}
	}
	if best.Role == "" {
		return Identity{}, fmt.Errorf("the certificate names no debros role: it needs the DNS name %s or %s",
			dnsName(structs.RoleServer, "<datacenter>"), dnsName(structs.RoleClient, "<datacenter>"))
	}
	return best, nil
}

// identityOfURIs reads the debros:// URI. Two of them are refused, since they would be two nodes.
func identityOfURIs(cert *x509.Certificate) (Identity, bool, error) {
	var found *url.URL
	for _, u := range cert.URIs {
		if u.Scheme != uriScheme {
			continue
		}
		if found != nil {
			return Identity{}, false, errors.New("the certificate has two debros:// names")
		}
		found = u
	}
	if found == nil {
		return Identity{}, false, nil
	}
	role, nodeID, ok := strings.Cut(strings.TrimPrefix(found.Path, "/"), "/")
	id := Identity{ID: structs.NodeID(nodeID), Role: structs.Role(role), Datacenter: found.Host, Verified: true}
	if !ok || !validRole(id.Role) || !validDatacenter(id.Datacenter) || found.RawQuery != "" || found.User != nil {
		return Identity{}, false, errors.New("the certificate's debros:// name is not debros://<datacenter>/<role>/<node id>")
	}
	// An Ed25519 certificate is over the node key itself: then the id is proven, not only stated.
	// A certificate from someone's own CA may be over another kind of key; there the CA vouches for the id.
	if pub, isNodeKey := cert.PublicKey.(ed25519.PublicKey); isNodeKey && PeerID(pub) != id.ID {
		return Identity{}, false, errors.New("the certificate's node id is not the one of its key")
	}
	return id, true, nil
}

func validRole(r structs.Role) bool { return r == structs.RoleServer || r == structs.RoleClient }

// parseDNSName reads <role>.<dc>.debros. A wildcard is no role.
func parseDNSName(name string) (structs.Role, string, bool) {
	rest, ok := strings.CutSuffix(strings.ToLower(name), dnsSuffix)
	if !ok {
		return "", "", false
	}
	role, dc, ok := strings.Cut(rest, ".")
	if !ok || !validRole(structs.Role(role)) || !validDatacenter(dc) {
		return "", "", false
	}
	return structs.Role(role), dc, true
}
