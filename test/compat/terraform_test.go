package compat

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// terraform runs Terraform in a directory of its own, with a state in the shared agent. Nothing is
// downloaded: terraform_data is built in.
type terraform struct {
	t    *testing.T
	dir  string
	path string // of the state
}

// terraformTimeout is for one command.
const terraformTimeout = 2 * time.Minute

func newTerraform(t *testing.T, path string, gzip bool) *terraform {
	t.Helper()
	if _, err := exec.LookPath("terraform"); err != nil {
		skip(t, "no terraform on the PATH")
	}
	tf := &terraform{t: t, dir: t.TempDir(), path: path}
	setting := "false"
	if gzip {
		setting = "true"
	}
	tf.write("backend.tf", `
terraform {
  backend "consul" {
    address = "`+shared.http+`"
    scheme  = "http"
    path    = "`+path+`"
    lock    = true
    gzip    = `+setting+`
  }
}
`)
	tf.write("terraform.rc", "disable_checkpoint = true\n")
	return tf
}

func (tf *terraform) write(name, text string) {
	tf.t.Helper()
	must(tf.t, os.WriteFile(filepath.Join(tf.dir, name), []byte(text), 0o600))
}

func (tf *terraform) try(args ...string) (string, error) {
	tf.t.Helper()
	cmd := exec.CommandContext(within(tf.t, terraformTimeout), "terraform", args...)
	cmd.Dir = tf.dir
	cmd.Env = append(os.Environ(), "TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1",
		"TF_CLI_CONFIG_FILE="+filepath.Join(tf.dir, "terraform.rc"), "TF_CLI_ARGS=-no-color")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (tf *terraform) run(args ...string) string {
	tf.t.Helper()
	out, err := tf.try(args...)
	if err != nil {
		tf.t.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out[max(0, len(out)-4000):])
	}
	return out
}

const smallConfig = `
variable "value" { default = "one" }
resource "terraform_data" "thing" { input = var.value }
output "thing" { value = terraform_data.thing.output }
`

func TestTerraformBackendStoresState(t *testing.T) {
	client, p := sharedClient(t)
	for name, gzip := range map[string]bool{"plain": false, "gzip": true} {
		t.Run(name, func(t *testing.T) {
			path := p + name + "/state"
			tf := newTerraform(t, path, gzip)
			tf.write("main.tf", smallConfig)
			tf.run("init")
			tf.run("apply", "-auto-approve")
			state := get(t, client.KV(), path)
			if state == nil || gzip == strings.Contains(string(state.Value), "terraform_data") {
				t.Fatalf("state: %+v", state)
			}
			if out := strings.TrimSpace(tf.run("output", "-raw", "thing")); out != "one" {
				t.Errorf("output %q", out)
			}
			tf.run("plan", "-detailed-exitcode") // 0: what is stored is what is configured
			tf.run("apply", "-auto-approve", "-var=value=two")
			if out := strings.TrimSpace(tf.run("output", "-raw", "thing")); out != "two" {
				t.Errorf("output after a change %q", out)
			}
			tf.run("workspace", "new", "other")
			if out := tf.run("workspace", "list"); !strings.Contains(out, "* other") {
				t.Errorf("workspaces %s", out)
			}
			tf.run("workspace", "select", "default")
			tf.run("workspace", "delete", "other")
			tf.run("destroy", "-auto-approve")
			if out := tf.run("state", "list"); strings.TrimSpace(out) != "" {
				t.Errorf("left after destroy: %s", out)
			}
			for _, lock := range []string{"/.lock", "/.lockinfo"} {
				if got := get(t, client.KV(), path+lock); got != nil && got.Session != "" {
					t.Errorf("still locked: %+v", got)
				}
			}
		})
	}
}

// A lock that another holds stops Terraform, which names the holder; force-unlock frees it.
func TestTerraformBackendLocks(t *testing.T) {
	client, p := sharedClient(t)
	path := p + "state"
	tf := newTerraform(t, path, false)
	tf.write("main.tf", smallConfig)
	tf.run("init")
	tf.run("apply", "-auto-approve")

	l, err := client.LockOpts(&api.LockOptions{Key: path + "/.lock", Session: newSession(t, client, nil)})
	must(t, err)
	_, err = l.Lock(nil)
	must(t, err)
	put(t, client.KV(), path+"/.lockinfo", `{"ID":"7f3c","Operation":"OperationTypeApply","Info":"","Who":"somebody@else","Version":"1","Created":"2024-01-01T00:00:00Z","Path":"x"}`)
	out, err := tf.try("apply", "-auto-approve", "-var=value=two")
	if err == nil || !strings.Contains(out, "Error acquiring the state lock") || !strings.Contains(out, "somebody@else") {
		t.Errorf("applied under another's lock: %v\n%s", err, out)
	}
	if got := strings.TrimSpace(tf.run("output", "-raw", "thing")); got != "one" {
		t.Errorf("state became %q", got)
	}
	must(t, l.Unlock())
	tf.run("apply", "-auto-approve", "-var=value=three", "-lock-timeout=20s")
}

// A state above the limits of a value and of a transaction is stored in pieces, once the error says
// "too large".
func TestTerraformBackendStoresLargeState(t *testing.T) {
	client, p := sharedClient(t)
	path := p + "state"
	tf := newTerraform(t, path, false)
	tf.write("main.tf", `
resource "terraform_data" "large" {
  input = join("", [for i in range(1000) : format("%d-%s", i, join("", [for j in range(60) : "0123456789"]))])
}
`)
	tf.run("init")
	tf.run("apply", "-auto-approve")
	pairs, _, err := client.KV().List(path+"/", nil)
	must(t, err)
	chunks := 0
	for _, e := range pairs {
		if strings.Contains(e.Key, "tfstate.") {
			chunks++
		}
	}
	if chunks < 2 {
		t.Errorf("%d chunks", chunks)
	}
	tf.run("plan", "-detailed-exitcode")
	tf.run("destroy", "-auto-approve")
}
