package creds

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// seed1 is the secret key of RFC 8032, section 7.1, test 1.
const seed1 = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"

func TestPeerIDIsTheLibp2pPeerID(t *testing.T) {
	seed, _ := hex.DecodeString(seed1)
	k, err := NodeKeyFromSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	if pub := hex.EncodeToString(k.Private().Public().(ed25519.PublicKey)); pub != "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" {
		t.Fatalf("public key %s is not the RFC's", pub)
	}
	// Computed apart from this code, by the formula of the libp2p specification.
	const want = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV"
	if got := string(k.ID()); got != want || len(got) != 52 || !strings.HasPrefix(got, "12D3KooW") {
		t.Errorf("id = %s (%d characters), want %s", got, len(got), want)
	}
	if _, err := NodeKeyFromSeed(seed[:31]); err == nil {
		t.Error("a seed of 31 bytes was taken")
	}
}

func TestNodeKeyFileIsMadeOnceAndReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	k, created, err := LoadOrCreateNodeKey(path)
	if err != nil || !created {
		t.Fatalf("created %v, error %v", created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, error %v", info.Mode(), err)
	}
	again, created, err := LoadOrCreateNodeKey(path)
	if err != nil || created {
		t.Fatalf("second load: created %v, error %v", created, err)
	}
	if again.ID() != k.ID() || !again.Private().Equal(k.Private()) {
		t.Error("the second load gave another key")
	}
}

func TestBadNodeKeyFileIsRefusedAndKept(t *testing.T) {
	good, _ := GenerateNodeKey()
	for name, tc := range map[string]struct {
		data string
		mode os.FileMode
		want string
	}{
		"empty":       {"", 0o600, "not a PEM"},
		"garbage":     {"garbage", 0o600, "not a PEM"},
		"bad der":     {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600, "PKCS #8"},
		"huge":        {strings.Repeat("x", nodeKeyBytesMax+1), 0o600, "no key"},
		"world reads": {"garbage", 0o604, "chmod 600"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "node.key")
			if err := os.WriteFile(path, []byte(tc.data), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tc.mode); err != nil {
				t.Fatal(err)
			}
			_, created, err := LoadOrCreateNodeKey(path)
			if err == nil || created || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("created %v, error %v; want %q", created, err, tc.want)
			}
			if now, _ := os.ReadFile(path); string(now) != tc.data {
				t.Error("the file was changed")
			}
		})
	}
	if err := good.write(filepath.Join(t.TempDir(), "no", "such", "dir")); err == nil {
		t.Error("writing into a missing directory succeeded")
	}
}

func TestClusterKeyParse(t *testing.T) {
	k := GenerateClusterKey()
	if again, err := ParseClusterKey(" " + k.Encode() + "\n"); err != nil || again != k {
		t.Fatalf("its own encoding: %v", err)
	}
	url := strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(k.Encode())
	if again, err := ParseClusterKey(url); err != nil || again != k {
		t.Errorf("URL alphabet: %v", err)
	}
	if GenerateClusterKey() == k {
		t.Error("two keys are the same")
	}
	b64 := base64.StdEncoding.EncodeToString
	for in, want := range map[string]string{
		"":                         "empty",
		"   ":                      "empty",
		"so:secret":                "character 3",
		"A":                        "cut short",
		b64(make([]byte, 16)):      "16 bytes, not 32",
		b64(make([]byte, 33)):      "33 bytes, not 32",
		b64(make([]byte, 32)):      "all zeros",
		k.Encode()[:43] + "AAAA==": "",
	} {
		_, err := ParseClusterKey(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", in, err, want)
		}
		if err != nil && len(in) > 8 && strings.Contains(err.Error(), in) {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
}

func TestClusterKeyDoesNotPrintItself(t *testing.T) {
	k := GenerateClusterKey()
	secret := []string{k.Encode(), hex.EncodeToString(k.secret[:]), fmt.Sprint(k.secret[:])}
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %x %d %s", k, k, k, k, k, k), fmt.Sprintf("%+v", struct{ K ClusterKey }{k})} {
		for _, sec := range secret {
			if strings.Contains(s, sec) || strings.Contains(s, strings.Trim(sec, "[]")) {
				t.Errorf("printed as %q", s)
			}
		}
	}
}

func fixedClusterKey() ClusterKey {
	var k ClusterKey
	for i := range k.secret {
		k.secret[i] = byte(i + 1)
	}
	return k
}

// The derived values are the protocol: a change here splits clusters during an upgrade.
func TestDerivedKeysAreGolden(t *testing.T) {
	k := fixedClusterKey()
	if got := hex.EncodeToString(k.GossipKey()); got != "327ec55e99e6ca1af35c441c4076ae92a77ce5a2d1a48b824eea806dfc0ada80" {
		t.Errorf("gossip key %s", got)
	}
	ca, err := k.CA()
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(ca.private.Public().(ed25519.PublicKey)); got != "98c2372439db6fd1a9d8014febd2877dfd586a022ef67d8a984b504cca0784b7" {
		t.Errorf("ca public key %s", got)
	}
	sum := sha256.Sum256(ca.Certificate().Raw)
	if got := hex.EncodeToString(sum[:]); got != "ccc81eac484eeab686b14063452af68bbaf17656081c325d7b30dcd00dc5d9a2" {
		t.Errorf("ca certificate %s", got)
	}
	again, _ := fixedClusterKey().CA()
	if !bytes.Equal(again.Certificate().Raw, ca.Certificate().Raw) {
		t.Error("two nodes derive two certificates")
	}
	if bytes.Equal(k.Derive("a", 32), k.Derive("b", 32)) {
		t.Error("two purposes give one key")
	}
}

func minted(t *testing.T, k ClusterKey, role structs.Role, dc string) *Creds {
	t.Helper()
	node, err := GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(Config{Node: node, Role: role, Datacenter: dc, ClusterKey: k})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// handshake does TLS both ways and one byte each way, since in TLS 1.3 a dialer learns of its refusal only by reading.
func handshake(t *testing.T, server, client *tls.Config) (ss, cs tls.ConnectionState, serr, cerr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	a.SetDeadline(deadline)
	b.SetDeadline(deadline)
	st, ct := tls.Server(a, server), tls.Client(b, client)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer a.Close()
		if serr = st.Handshake(); serr == nil {
			_, serr = st.Write([]byte{1})
		}
		ss = st.ConnectionState()
	}()
	if cerr = ct.Handshake(); cerr == nil {
		_, cerr = ct.Read(make([]byte, 1))
	}
	cs = ct.ConnectionState()
	b.Close()
	<-done
	return ss, cs, serr, cerr
}

func TestMembersKnowEachOtherByIDAndRole(t *testing.T) {
	k := GenerateClusterKey()
	server, client := minted(t, k, structs.RoleServer, "dc1"), minted(t, k, structs.RoleClient, "dc1")
	ss, cs, serr, cerr := handshake(t, server.ServerTLS(), client.ClientTLS())
	if serr != nil || cerr != nil {
		t.Fatalf("server %v, client %v", serr, cerr)
	}
	if ss.Version != tls.VersionTLS13 {
		t.Errorf("TLS version %x", ss.Version)
	}
	peer, err := server.PeerIdentity(ss)
	if err != nil || peer != client.Identity() || !peer.Verified || peer.Role != structs.RoleClient {
		t.Errorf("the server sees %+v (%v), want %+v", peer, err, client.Identity())
	}
	peer, err = client.PeerIdentity(cs)
	if err != nil || peer != server.Identity() || peer.Role != structs.RoleServer || peer.Datacenter != "dc1" {
		t.Errorf("the client sees %+v (%v), want %+v", peer, err, server.Identity())
	}
}

func TestDialerRefusesAClientThatServes(t *testing.T) {
	k := GenerateClusterKey()
	for _, role := range []structs.Role{structs.RoleServer, structs.RoleClient} {
		_, _, _, cerr := handshake(t, minted(t, k, structs.RoleClient, "dc1").ServerTLS(), minted(t, k, role, "dc1").ClientTLS())
		if cerr == nil {
			t.Errorf("a %s took a client for a server", role)
		}
	}
}

func TestRoleIsCheckedApartFromCertificateUsage(t *testing.T) {
	// An own CA may sign certificates without usages or with all of them: the role still counts.
	ca := newTestCA(t)
	dir := t.TempDir()
	c, err := Open(ca.config(t, dir, structs.RoleClient, "dc1", certOpts{dns: []string{"client.dc1.debros"}, anyUsage: true}))
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, cerr := handshake(t, c.ServerTLS(), c.ClientTLS())
	if cerr == nil || !strings.Contains(cerr.Error(), ErrNotServer.Error()) {
		t.Errorf("error %v, want %v", cerr, ErrNotServer)
	}
}

func TestOtherClustersAndStrangersAreRefused(t *testing.T) {
	server := minted(t, GenerateClusterKey(), structs.RoleServer, "dc1")
	other := minted(t, GenerateClusterKey(), structs.RoleServer, "dc1")
	if _, _, serr, cerr := handshake(t, server.ServerTLS(), other.ClientTLS()); serr == nil && cerr == nil {
		t.Error("another cluster's node was let in")
	}
	// The dialer has no check of its own: the server alone must refuse.
	careless := other.ClientTLS()
	careless.VerifyConnection = nil
	if _, _, serr, _ := handshake(t, server.ServerTLS(), careless); serr == nil {
		t.Error("the server let another cluster's node in")
	}
	careless.GetClientCertificate = nil
	if _, _, serr, _ := handshake(t, server.ServerTLS(), careless); serr == nil {
		t.Error("the server let a peer without a certificate in")
	}
	own := server.ClientTLS()
	own.MinVersion, own.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, _, serr, _ := handshake(t, server.ServerTLS(), own); serr == nil {
		t.Error("the server spoke TLS 1.2")
	}
}

func TestMemberCannotPoseAsAnotherNode(t *testing.T) {
	k := GenerateClusterKey()
	server, victim := minted(t, k, structs.RoleServer, "dc1"), minted(t, k, structs.RoleServer, "dc1")
	// A member holds the cluster key, so it can sign anything; but it has only its own node key.
	thief, _ := GenerateNodeKey()
	thief.id = victim.Identity().ID
	ca, _ := k.CA()
	cert, err := ca.MintCert(thief, structs.RoleServer, "dc1")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}}
	if _, _, serr, _ := handshake(t, server.ServerTLS(), cfg); serr == nil || !strings.Contains(serr.Error(), "not the one of its key") {
		t.Errorf("error %v", serr)
	}
}

func TestOpenRefusesContradictions(t *testing.T) {
	k := GenerateClusterKey()
	node, _ := GenerateNodeKey()
	for want, cfg := range map[string]Config{
		"neither server nor client": {Node: node, Role: "boss", Datacenter: "dc1", ClusterKey: k},
		"datacenter":                {Node: node, Role: structs.RoleServer, Datacenter: "DC 1", ClusterKey: k},
		"all three or none":         {Node: node, Role: structs.RoleServer, Datacenter: "dc1", CAFile: "ca.pem"},
		"both given":                {Node: node, Role: structs.RoleServer, Datacenter: "dc1", CAFile: "ca.pem", ClusterKey: k},
		"neither a cluster key":     {Node: node, Role: structs.RoleServer, Datacenter: "dc1"},
		"node key is needed":        {Role: structs.RoleServer, Datacenter: "dc1", ClusterKey: k},
		"ca_file":                   {Node: node, Role: structs.RoleServer, Datacenter: "dc1", CAFile: "/no/ca", CertFile: "/no/c", KeyFile: "/no/k"},
	} {
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
