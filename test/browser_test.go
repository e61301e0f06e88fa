//go:build unix

package test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/test/harness"
)

// page subscribes in both ways that browsers have, and tells the test what it shows.
const page = `<!doctype html><title>topics</title><h1>Messages</h1><ul id="list"></ul>
<script>
const list = document.getElementById("list")
const show = (way, m) => {
  const li = document.createElement("li")
  li.textContent = way + " " + (m.control || m.topic + " " + atob(m.data))
  list.append(li)
  fetch("/shown", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(list.innerText)})
}
const sse = new EventSource("/v1/pubsub/subscribe?topic=news.*")
sse.onmessage = e => show("sse", JSON.parse(e.data))
sse.addEventListener("begin", e => show("sse", JSON.parse(e.data)))
const ws = new WebSocket("ws://" + location.host + "/v1/pubsub/subscribe?topic=news.*")
ws.onmessage = e => show("websocket", JSON.parse(e.data))
</script>`

// TestABrowserShowsWhatTheCommandLinePublishes: a page in a real browser, by EventSource and by WebSocket.
func TestABrowserShowsWhatTheCommandLinePublishes(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	bin, err := harness.BinaryPath()
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("SKIPPED: no browser is tested here: neither chromium nor google-chrome is installed")
	}
	c := harness.ForTest(t, harness.Config{Servers: 1})
	node := c.Servers[0]
	agent := &url.URL{Scheme: "http", Host: node.HTTPAddr()}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(agent)
		r.Out.Host = r.In.Host // the page and the API are of one origin
	}}
	shown := make(chan string, 64)
	mux := http.NewServeMux()
	mux.Handle("/v1/", proxy)
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, page)
	})
	mux.HandleFunc("/shown", func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		shown <- string(b)
	})
	site := httptest.NewServer(mux)
	defer site.Close()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--user-data-dir="+t.TempDir(), "--remote-debugging-port=0", site.URL)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		site.CloseClientConnections()
	}()
	wait := func(all ...string) {
		t.Helper()
		last := ""
		for {
			select {
			case last = <-shown:
			case <-ctx.Done():
				t.Fatalf("the page shows %s\n%s", last, log.String())
			}
			n := 0
			for _, want := range all {
				if strings.Contains(last, want) {
					n++
				}
			}
			if n == len(all) {
				return
			}
		}
	}
	wait("sse begin", "websocket begin")
	if out, err := exec.CommandContext(ctx, bin, "pubsub", "publish", "-http-addr="+node.HTTPAddr(), "news.eu", "hello from the command line").CombinedOutput(); err != nil {
		t.Fatalf("publish: %v: %s", err, out)
	}
	wait("sse news.eu hello from the command line", "websocket news.eu hello from the command line")
}
