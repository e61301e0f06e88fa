package command

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/internal/version"
)

func debugCommand() *cmd {
	var output string
	var duration time.Duration
	return &cmd{
		name: "debug", synopsis: "Collect what is needed to look into a problem",
		help: `Writes a tar.gz with the agent's profiles, metrics, log, configuration, members and servers. Secrets
are left out of the configuration, but keys, addresses and names are not: look before you pass it on.
What the agent does not offer is listed in the bundle's errors.txt.`,
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&output, "output", "", "`file` to write; default debros-debug-<time>.tar.gz")
			fs.DurationVar(&duration, "duration", 10*time.Second, "`duration` of the log and the CPU profile")
		},
		run: func(ctx context.Context, c *call) error {
			if duration <= 0 || duration > profileMax {
				return usagef("-duration=%s: want more than 0 and at most %s", duration, profileMax)
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			if _, err := client.Agent().Version(ctx); err != nil {
				return err // nobody there: no bundle
			}
			began := time.Now().UTC()
			if output == "" {
				output = "debros-debug-" + began.Format("20060102T150405Z") + ".tar.gz"
			}
			f, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return withHint(err, "-output names another file")
			}
			b := &bundle{client: client, duration: duration, dir: "debros-debug"}
			n, err := b.write(ctx, f)
			if err = errors.Join(err, f.Close()); err != nil {
				os.Remove(output)
				return err
			}
			return c.done(map[string]any{"File": output, "Files": n, "Missing": b.missing}, "Wrote %s: %d files%s", output, n, missingText(b.missing))
		},
	}
}

func missingText(missing []string) string {
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("; %d could not be had (errors.txt says why)", len(missing))
}

// bundle collects files for a debug archive.
type bundle struct {
	client   *api.Client
	duration time.Duration
	dir      string

	mu      sync.Mutex // protects the following
	files   map[string][]byte
	missing []string
	errors  strings.Builder
}

// What the agent takes as the duration of a CPU profile.
const (
	profileMin = time.Second
	profileMax = 5 * time.Minute
)

// partBytesMax bounds each file: a bundle is for mailing.
const partBytesMax = 64 << 20

// write collects everything and writes the archive; it returns the number of files.
func (b *bundle) write(ctx context.Context, w io.Writer) (int, error) {
	b.files = map[string][]byte{}
	var slow sync.WaitGroup // the parts that take as long as duration, side by side
	for name, part := range b.slow() {
		slow.Go(func() { b.add(ctx, name, part) })
	}
	fast := b.fast()
	for _, name := range sortedKeys(fast) {
		b.add(ctx, name, fast[name])
	}
	slow.Wait()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if b.errors.Len() > 0 {
		b.files["errors.txt"] = []byte(b.errors.String())
	}
	zw := gzip.NewWriter(w)
	tw := tar.NewWriter(zw)
	now := time.Now()
	for _, name := range sortedKeys(b.files) {
		h := &tar.Header{Name: path.Join(b.dir, name), Mode: 0o600, Size: int64(len(b.files[name])), ModTime: now}
		if err := tw.WriteHeader(h); err != nil {
			return 0, err
		}
		if _, err := tw.Write(b.files[name]); err != nil {
			return 0, err
		}
	}
	return len(b.files), errors.Join(tw.Close(), zw.Close())
}

type part func(context.Context) (any, error)

func (b *bundle) slow() map[string]part {
	agent := b.client.Agent()
	return map[string]part{
		"agent.log": func(ctx context.Context) (any, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			log, err := agent.Monitor(ctx, "debug", false)
			if err != nil {
				return nil, err
			}
			defer log.Close()
			defer time.AfterFunc(b.duration, cancel).Stop() // from when it begins
			var buf bytes.Buffer
			_, err = io.Copy(&buf, io.LimitReader(log, partBytesMax))
			if ctx.Err() != nil {
				err = nil // it was to end here
			}
			return &buf, err
		},
		"profile.prof": func(ctx context.Context) (any, error) {
			return agent.Profile(ctx, "profile", max(b.duration, profileMin))
		},
	}
}

func (b *bundle) fast() map[string]part {
	agent, op := b.client.Agent(), b.client.Operator()
	parts := map[string]part{
		"self.json":             func(ctx context.Context) (any, error) { return agent.Self(ctx) },
		"members.json":          func(ctx context.Context) (any, error) { return agent.Members(ctx, nil) },
		"host.json":             func(ctx context.Context) (any, error) { return agent.Host(ctx) },
		"version.json":          func(ctx context.Context) (any, error) { return agent.Version(ctx) },
		"metrics.json":          func(ctx context.Context) (any, error) { return agent.Metrics(ctx) },
		"metrics.prom":          func(ctx context.Context) (any, error) { return agent.PrometheusMetrics(ctx) },
		"raft.json":             func(ctx context.Context) (any, error) { return op.RaftConfiguration(ctx, stale()) },
		"autopilot-health.json": func(ctx context.Context) (any, error) { return op.AutopilotHealth(ctx, nil) },
		"autopilot-config.json": func(ctx context.Context) (any, error) { return op.AutopilotConfig(ctx, stale()) },
		"status-leader.json":    func(ctx context.Context) (any, error) { return b.client.Status().Leader(ctx, nil) },
		"catalog-nodes.json":    func(ctx context.Context) (any, error) { return nodes(ctx, b.client) },
		"command-version.json":  func(context.Context) (any, error) { return map[string]string{"Version": version.String()}, nil },
	}
	for _, name := range []string{"heap", "goroutine", "allocs", "mutex", "block"} {
		parts[name+".prof"] = func(ctx context.Context) (any, error) { return agent.Profile(ctx, name, 0) }
	}
	return parts
}

func stale() *api.QueryOptions { return &api.QueryOptions{Consistency: api.Stale} }

func nodes(ctx context.Context, client *api.Client) (any, error) {
	list, _, err := client.Catalog().Nodes(ctx, stale())
	return list, err
}

// partTimeout bounds one part beside the time it is meant to take: an agent in trouble may be slow.
const partTimeout = 15 * time.Second

func (b *bundle) add(ctx context.Context, name string, p part) {
	ctx, cancel := context.WithTimeout(ctx, b.duration+partTimeout)
	defer cancel()
	v, err := p(ctx)
	var data []byte
	if err == nil {
		data, err = partBytes(v)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.missing = append(b.missing, name)
		fmt.Fprintf(&b.errors, "%s: %v\n", name, err)
		return
	}
	b.files[name] = data
}

// partBytes is a stream's content, or JSON without secrets.
func partBytes(v any) ([]byte, error) {
	r, ok := v.(io.Reader)
	if !ok {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		var tree any
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if err := dec.Decode(&tree); err != nil {
			return nil, err
		}
		return json.MarshalIndent(redact(tree), "", "  ")
	}
	if c, ok := v.(io.Closer); ok {
		defer c.Close()
	}
	return io.ReadAll(io.LimitReader(r, partBytesMax))
}

// secretName matches the names of settings that are secrets. The agent leaves them out already; this
// is for an agent that forgot one.
var secretName = regexp.MustCompile(`(?i)(token|secret|password|passwd|cluster_?key$|encrypt|private_?key|credential)`)

// redact replaces the values of secrets, at any depth. Names of files are kept: they say where a
// secret is, not what it is.
func redact(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok && s != "" && secretName.MatchString(k) && !strings.HasSuffix(strings.ToLower(k), "file") {
				v[k] = "(redacted)"
			} else {
				v[k] = redact(e)
			}
		}
	case []any:
		for i := range v {
			v[i] = redact(v[i])
		}
	}
	return v
}
