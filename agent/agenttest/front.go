package agenttest

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
)

// Front stands before an agent and shows its clients what a healthy agent does not show on demand: no
// answer, lost answers, chosen statuses, chosen bodies. All else is the agent's.
type Front struct {
	URL string

	mu      sync.Mutex // protects the following
	stalled bool
	lose    map[string]int // by "METHOD path"
	fail    []int
	replies map[string]string // by "METHOD path"
	asked   []string
}

// NewFront starts one before the agent.
func NewFront(t T, n *Node) *Front {
	t.Helper()
	to, err := url.Parse(n.API.Address())
	if err != nil {
		t.Fatalf("address of %s: %v", n.Spec.Name, err)
	}
	f := &Front{replies: map[string]string{}, lose: map[string]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.URL.RawQuery = r.In.URL.RawQuery // as it was sent, not as it can be parsed
		},
		FlushInterval: -1, // log streams
		ModifyResponse: func(r *http.Response) error {
			if f.isStalled() { // it was asked before that; the answer is withheld all the same
				<-r.Request.Context().Done()
				return r.Request.Context().Err()
			}
			if f.loses(r.Request) {
				return errLost
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.Is(err, errLost) {
				panic(http.ErrAbortHandler) // the connection breaks
			}
			if r.Context().Err() == nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
		},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, proxy) }))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	f.URL = s.URL
	return f
}

func (f *Front) serve(w http.ResponseWriter, r *http.Request, agent http.Handler) {
	f.mu.Lock()
	f.asked = append(f.asked, r.Method+" "+r.URL.RequestURI())
	status := 0
	if len(f.fail) > 0 {
		status, f.fail = f.fail[0], f.fail[1:]
	}
	reply, replaced := f.replies[r.Method+" "+r.URL.Path]
	stalled := f.stalled
	f.mu.Unlock()
	switch {
	case stalled:
		<-r.Context().Done()
	case status != 0:
		http.Error(w, "No cluster leader\nhint: wait", status)
	case replaced:
		_, _ = io.WriteString(w, reply) // to a client that may have gone
	default:
		agent.ServeHTTP(w, r)
	}
}

func (f *Front) isStalled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stalled
}

var errLost = errors.New("the answer is lost")

func (f *Front) loses(r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := r.Method + " " + r.URL.Path
	if f.lose[asked] == 0 {
		return false
	}
	f.lose[asked]--
	return true
}

// Lose breaks the connection instead of passing on the agent's next n answers to a method and path: what
// was asked is done, and the client does not hear of it.
func (f *Front) Lose(method, path string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lose[method+" "+path] = n
}

// Stall withholds every answer from now on, to requests that the agent has already too.
func (f *Front) Stall() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stalled = true
}

// Fail answers the next requests with these statuses, in words of an agent without a leader, before
// the agent has seen them.
func (f *Front) Fail(statuses ...int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = append(f.fail, statuses...)
}

// Reply answers a method and path with this body instead of the agent's.
func (f *Front) Reply(method, path, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.replies[method+" "+path] = body
}

// Asked is "METHOD path?query" of everything asked so far.
func (f *Front) Asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}
