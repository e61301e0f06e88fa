package agent

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"sync"
	"testing"

	"github.com/debros/debros/structs"
)

// recorder stands for the servers and keeps the token that each datacenter got.
type recorder struct {
	mu     sync.Mutex
	tokens map[string]string
}

func (r *recorder) RPC(_ context.Context, method string, req, _ any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch req := req.(type) {
	case *structs.NodeListRequest:
		r.tokens[method+" "+req.Datacenter] = req.Token
	default:
		r.tokens[method] = "?"
	}
	return nil
}

func (r *recorder) Stream(context.Context, string, any, io.Reader, io.Writer) error { return nil }

func TestServersOfEveryDatacenterGetTheCallersToken(t *testing.T) {
	r := &recorder{tokens: map[string]string{}}
	a := &Agent{cluster: r, log: slog.New(slog.DiscardHandler)}
	if _, err := (local{a}).MembersWAN(t.Context(), "secret"); err != nil {
		t.Fatal(err)
	}
	a.nodesAbroad(t.Context(), "secret", []string{"dc2", "dc3"})
	want := map[string]string{"Catalog.Nodes ": "secret", "Catalog.Nodes dc2": "secret", "Catalog.Nodes dc3": "secret"}
	if !maps.Equal(r.tokens, want) {
		t.Errorf("the servers got %v, want %v", r.tokens, want)
	}
}
