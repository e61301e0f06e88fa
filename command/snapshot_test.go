package command

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSnapshotsAreVerifiedAtEveryStep(t *testing.T) {
	c := newCLI(t)
	file := filepath.Join(t.TempDir(), "x.snap")
	c.contains(c.ok("snapshot", "save", file), "Saved and verified", "index ")
	saved, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(file)
	good := string(saved)
	for name, bad := range map[string]string{
		"garbage": "not really an archive", "cut short": good[:len(good)/2], "empty": "", "flipped": flip(good), "something follows": good + "x",
	} {
		c.front.Reply("GET", "/v1/snapshot", bad)
		c.fails(1, "snapshot", "save", file)
		if entries, _ := os.ReadDir(filepath.Dir(file)); len(entries) != 0 {
			t.Fatalf("%s: a bad snapshot was kept: %v", name, entries)
		}
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		c.fails(1, "snapshot", "inspect", file)
		c.contains(c.fails(1, "snapshot", "restore", file), "hint: nothing was changed")
		os.Remove(file)
	}
	c.front.Reply("GET", "/v1/snapshot", good)
	c.ok("snapshot", "save", file)
	got, err := os.ReadFile(file)
	if err != nil || string(got) != good {
		t.Fatalf("the file is not what the agent sent: %v", err)
	}
	c.contains(c.ok("snapshot", "inspect", file), "Rows of")
	c.ok("snapshot", "restore", file)
	restores := 0
	for _, r := range c.front.Asked() {
		if strings.HasPrefix(r, "PUT /v1/snapshot?") {
			restores++
		}
	}
	if restores != 1 {
		t.Errorf("%d restores were sent", restores)
	}
}

func flip(s string) string {
	b := []byte(s)
	b[len(b)/2] ^= 0x10
	return string(b)
}

func TestDebugBundleHasNoSecrets(t *testing.T) {
	c := newCLI(t)
	// An agent hides its secrets itself. This one does not.
	c.front.Reply("GET", "/v1/agent/self", `{"Config":{"NodeName":"s1"},"DebugConfig":{"ClusterKey":"abc","BindAddr":"127.0.0.1"}}`)
	file := filepath.Join(t.TempDir(), "d.tar.gz")
	c.contains(c.ok("debug", "-duration=100ms", "-output="+file), "Wrote "+file)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "debros-debug/")] = string(data)
	}
	for _, name := range []string{"self.json", "members.json", "metrics.prom", "raft.json", "heap.prof", "profile.prof", "agent.log"} {
		if files[name] == "" {
			t.Errorf("no %s", name)
		}
	}
	if self := files["self.json"]; strings.Contains(self, "abc") || !strings.Contains(self, "127.0.0.1") || !strings.Contains(self, "(redacted)") {
		t.Errorf("self.json: %s", self)
	}
	c.contains(c.fails(1, "debug", "-output="+file), "exists", "hint: -output")
}

func TestValidateTellsWhatIsWrong(t *testing.T) {
	c := newCLI(t)
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.hcl"), filepath.Join(dir, "bad.hcl")
	for file, text := range map[string]string{good: "node_name = \"n\"\ndata_dir = \"" + dir + "\"\nbind_addr = \"127.0.0.1\"\n", bad: "nod_name = 1\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := c.run("validate", good); r.status != 0 {
		t.Errorf("good: %+v", r)
	}
	c.contains(c.fails(1, "validate", bad), "debros: ", "bad.hcl:1:1", "nod_name")
	r := c.run("validate", "-format=json", bad)
	if r.status != 1 || !strings.Contains(r.stdout, `"Line": 1`) || r.stderr != "" {
		t.Errorf("json: %+v", r)
	}
	c.fails(1, "validate", filepath.Join(dir, "none"))
}
