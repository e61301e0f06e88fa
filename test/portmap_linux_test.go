package test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gateway makes the NAT of a LAN one that opens ports on demand by UPnP: miniupnpd, as many home routers run it.
func (s *scene) gateway(lan, net string) {
	s.t.Helper()
	nat := lan + "nat"
	s.in(nat, "nft add table inet upnp",
		"nft add chain inet upnp opened", "nft add chain inet upnp pre", "nft add chain inet upnp post",
		"nft add chain inet upnp hookpre { type nat hook prerouting priority -100 ; }", "nft add rule inet upnp hookpre jump pre",
		// Those whose port is open get through to the LAN.
		"nft insert rule ip guard fwdin ct status dnat accept")
	file := filepath.Join(s.dir, nat+".conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, `ext_ifname=eth0
listening_ip=lan0
http_port=5000
enable_upnp=yes
enable_natpmp=no
lease_file=%s
upnp_table_name=upnp
upnp_nat_table_name=upnp
upnp_forward_chain=opened
upnp_nat_chain=pre
upnp_nat_postrouting_chain=post
uuid=d3f5bce7-fabc-4ab5-85ec-211bdd95fb4f
allow 1024-65535 %s.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
`, filepath.Join(s.dir, nat+".leases"), net), 0o600); err != nil {
		s.t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(s.dir, nat+".log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("ip", "netns", "exec", s.ns(nat), "miniupnpd", "-d", "-f", file, "-P", filepath.Join(s.dir, nat+".pid"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if s.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			s.t.Logf("--- miniupnpd\n%s", text[max(0, len(text)-3000):])
		}
	})
}

// TestAnAgentBehindARouterThatOpensPortsIsDialledFromOutside: it asks its router for a port, tells the address at which others reach it, and a
// host of the public segment gets through to it there. NAT-PMP is not tested: agent/overlay/DESIGN.md says why it does not work.
func TestAnAgentBehindARouterThatOpensPortsIsDialledFromOutside(t *testing.T) {
	needNamespaces(t)
	if _, err := exec.LookPath("miniupnpd"); err != nil {
		t.Skipf("SKIPPED: port mapping is not tested here: %v", err)
	}
	s := newScene(t)
	s.lan("a", "5.5.5.101", "10.1.0", true)
	s.gateway("a", "10.1.0")
	for i, name := range []string{"s1", "out"} {
		s.add(name)
		s.plug(name, fmt.Sprint("5.5.5.", 11+i))
	}
	server := s.agent("s1", "-server", "-bootstrap-expect=1", "-bind=5.5.5.11")
	server.eventually(patience, "is healthy", "health")
	a := s.agent("a", "-bind=10.1.0.2", "-join-overlay=/ip4/5.5.5.11/tcp/4001/p2p/"+server.peerID(),
		"-config-file="+s.config("a", "overlay {\n port_mapping = true\n}"))
	start := time.Now()
	for opened := ""; opened == ""; time.Sleep(200 * time.Millisecond) {
		out, _ := a.eventually(patience, "12D3", "peer-id", "-format=json")
		var self struct{ Addresses []string }
		if err := json.Unmarshal([]byte(out), &self); err != nil {
			t.Fatal(err)
		}
		for _, addr := range self.Addresses { // also those that its peer saw it come from, to which nothing gets through
			if port, ok := strings.CutPrefix(addr, "/ip4/5.5.5.101/tcp/"); ok && s.connects("out", "5.5.5.101:"+strings.Split(port, "/")[0]) {
				opened = addr
				t.Logf("%s gets through after %s", addr, time.Since(start).Round(100*time.Millisecond))
			}
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("nobody outside gets through to any of %v", self.Addresses)
		}
	}
}

// connects reports whether a TCP connection can be made from a namespace.
func (s *scene) connects(from, to string) bool {
	return inNamespace(s.ns(from), func() error {
		c, err := net.DialTimeout("tcp4", to, time.Second)
		if err == nil {
			err = c.Close()
		}
		return err
	}) == nil
}
