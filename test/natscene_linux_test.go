package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/debros/debros/test/harness"
)

// scene is a small internet of network namespaces: a public segment with a host for each server, and LANs behind NATs.
// libp2p calls 5.5.5.0/24 public, as it is nobody's special range; nothing leaves this machine.
type scene struct {
	t    *testing.T
	name string // of this run: namespaces are the machine's
	dir  string
	bin  string
	nets []string
}

// needNamespaces skips, and says so, where a test cannot make namespaces.
func needNamespaces(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	if _, err := harness.BinaryPath(); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: NAT is not tested here: %v", err)
		}
	}
	probe := fmt.Sprintf("debros-probe-%d", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", probe).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: NAT is not tested here: this user makes no network namespaces: %s", out)
	}
	_ = exec.Command("ip", "netns", "del", probe).Run()
}

func newScene(t *testing.T) *scene {
	t.Helper()
	bin, err := harness.BinaryPath()
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, name: fmt.Sprintf("db%d", os.Getpid()%100000), dir: t.TempDir(), bin: bin}
	t.Cleanup(func() {
		for _, ns := range s.nets {
			_ = exec.Command("ip", "netns", "del", s.ns(ns)).Run() // with its links
		}
	})
	key, err := exec.Command(bin, "keygen").Output()
	if err == nil {
		err = os.WriteFile(s.keyFile(), key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.add("pub")
	s.in("pub", "ip link add br0 type bridge", "ip link set br0 up")
	return s
}

func (s *scene) keyFile() string       { return filepath.Join(s.dir, "cluster.key") }
func (s *scene) ns(name string) string { return s.name + "-" + name }

// add makes a namespace with its loopback up.
func (s *scene) add(name string) {
	s.t.Helper()
	s.nets = append(s.nets, name)
	s.run("ip", "netns", "add", s.ns(name))
	s.in(name, "ip link set lo up")
}

func (s *scene) run(args ...string) {
	s.t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// in runs commands in a namespace.
func (s *scene) in(name string, commands ...string) {
	s.t.Helper()
	for _, c := range commands {
		s.run(append([]string{"ip", "netns", "exec", s.ns(name)}, strings.Fields(c)...)...)
	}
}

// plug connects a namespace to the public segment.
func (s *scene) plug(name, addr string) {
	s.t.Helper()
	s.run("ip", "link", "add", "eth0", "netns", s.ns(name), "type", "veth", "peer", "name", "p-"+name, "netns", s.ns("pub"))
	s.in("pub", "ip link set p-"+name+" master br0", "ip link set p-"+name+" up")
	s.in(name, "ip addr add "+addr+"/24 dev eth0", "ip link set eth0 up")
}

// lan makes a LAN of one host behind a NAT with a public address. symmetric: a port of its own for each destination.
func (s *scene) lan(name, public, net string, symmetric bool) {
	s.t.Helper()
	nat := name + "nat"
	s.add(nat)
	s.plug(nat, public)
	s.add(name)
	s.run("ip", "link", "add", "eth0", "netns", s.ns(name), "type", "veth", "peer", "name", "lan0", "netns", s.ns(nat))
	s.in(name, "ip addr add "+net+".2/24 dev eth0", "ip link set eth0 up", "ip route add default via "+net+".1")
	s.in(nat, "ip addr add "+net+".1/24 dev lan0", "ip link set lan0 up", "sysctl -qw net.ipv4.ip_forward=1",
		"nft add table ip nat", "nft add chain ip nat post { type nat hook postrouting priority 100 ; }")
	how := "masquerade"
	if symmetric {
		how = "masquerade fully-random"
	}
	s.in(nat, "nft add rule ip nat post oifname eth0 "+how,
		// Nothing comes in that nobody asked for.
		"nft add table ip guard", "nft add chain ip guard fwdin { type filter hook forward priority 0 ; policy drop ; }",
		"nft add rule ip guard fwdin ct state established,related accept", "nft add rule ip guard fwdin iifname lan0 accept",
		// And the NAT itself keeps quiet: a refusal would end what the other side has begun to punch.
		"nft add chain ip guard self { type filter hook input priority 0 ; policy drop ; }", "nft add rule ip guard self iifname lan0 accept")
}

// process is an agent in a namespace.
type process struct {
	s    *scene
	name string
	cmd  *exec.Cmd
	args []string
}

// agent starts an agent in the namespace of its name.
func (s *scene) agent(name string, args ...string) *process {
	s.t.Helper()
	p := &process{s: s, name: name, args: append([]string{"agent", "-node=" + name, "-data-dir=" + filepath.Join(s.dir, name), "-cluster-key-file=" + s.keyFile(),
		"-retry-interval=1s", "-log-level=debug"}, args...)}
	p.start()
	s.t.Cleanup(func() {
		p.kill()
		if s.t.Failed() {
			log, _ := os.ReadFile(p.logFile())
			lines := bytes.Split(log, []byte("\n"))
			if keep := os.Getenv("DEBROS_TEST_KEEP_LOGS"); keep != "" {
				_ = os.WriteFile(filepath.Join(keep, name+".log"), log, 0o600)
			}
			s.t.Logf("--- %s\n%s", name, bytes.Join(lines[max(0, len(lines)-25):], []byte("\n")))
		}
	})
	return p
}

func (p *process) logFile() string { return filepath.Join(p.s.dir, p.name+".log") }

func (p *process) start() {
	p.s.t.Helper()
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.s.t.Fatal(err)
	}
	defer log.Close()
	// ip replaces itself by the program, so the process is the agent.
	p.cmd = exec.Command("ip", append([]string{"netns", "exec", p.s.ns(p.name), p.s.bin}, p.args...)...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.s.t.Fatal(err)
	}
}

// kill is SIGKILL.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
}

// debros runs a command of the command line where an agent is.
func (p *process) debros(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(p.s.t.Context(), 40*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", p.s.ns(p.name), p.s.bin}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// eventually waits until a command succeeds and its output has what is wanted; it returns the output, and how long it took.
func (p *process) eventually(within time.Duration, want string, args ...string) (string, time.Duration) {
	p.s.t.Helper()
	start := time.Now()
	for {
		out, err := p.debros(args...)
		took := time.Since(start)
		if err == nil && strings.Contains(out, want) && took <= within {
			return out, took
		}
		if took > within {
			p.s.t.Fatalf("%s: debros %s: not %q within %s, but after %s: %v\n%s", p.name, strings.Join(args, " "), want, within, took.Round(time.Millisecond), err, out)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// peerID is the agent's.
func (p *process) peerID() string {
	p.s.t.Helper()
	out, _ := p.eventually(patience, "12D3", "peer-id", "-format=json")
	var self struct{ ID string }
	if err := json.Unmarshal([]byte(out), &self); err != nil || self.ID == "" {
		p.s.t.Fatalf("%s: peer-id: %s", p.name, out)
	}
	return self.ID
}

// via is how an agent is connected to a peer: "direct", "relay" or "".
func (p *process) via(id string) string {
	out, err := p.debros("peers", "-format=json")
	if err != nil {
		return ""
	}
	var peers []struct{ ID, Via string }
	if err := json.Unmarshal([]byte(out), &peers); err != nil {
		p.s.t.Fatalf("%s: peers: %v: %s", p.name, err, out)
	}
	for _, x := range peers {
		if x.ID == id {
			return x.Via
		}
	}
	return ""
}

// config writes a configuration file.
func (s *scene) config(name, text string) string {
	s.t.Helper()
	file := filepath.Join(s.dir, name+".hcl")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}
