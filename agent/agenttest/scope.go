package agenttest

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/debros/debros/api"
)

// T is what agents need of a test. A testing.TB has it; so has a Scope.
type T interface {
	Helper()
	Cleanup(func())
	Context() context.Context
	Fatalf(format string, args ...any)
	Output() io.Writer
	TempDir() string
}

// Scope is a T for examples and for what outlives one test: there, nobody has a testing.TB. The zero
// value is ready; Close ends what was started in it. Where a test would fail, it panics.
type Scope struct {
	mu     sync.Mutex // protects the following
	undo   []func()
	ctx    context.Context
	cancel context.CancelFunc
}

// Close undoes everything, in reverse. The Scope may be used again.
func (s *Scope) Close() {
	s.mu.Lock()
	undo, cancel := s.undo, s.cancel
	s.undo, s.ctx, s.cancel = nil, nil, nil
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	for i := len(undo) - 1; i >= 0; i-- {
		undo[i]()
	}
}

// Helper implements T.
func (s *Scope) Helper() {}

// Cleanup implements T.
func (s *Scope) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.undo = append(s.undo, f)
}

// Context implements T: it ends before anything is undone.
func (s *Scope) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		s.ctx, s.cancel = context.WithCancel(context.Background())
	}
	return s.ctx
}

// Fatalf implements T.
func (s *Scope) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// Output implements T. An example's standard output is compared, so this is the other one.
func (s *Scope) Output() io.Writer { return os.Stderr }

// TempDir implements T.
func (s *Scope) TempDir() string {
	dir, err := os.MkdirTemp("", "agenttest")
	if err != nil {
		s.Fatalf("make a directory: %v", err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) }) // left behind among temporary files otherwise
	return dir
}

// Shared is one server for all tests and examples of a package, each of which takes a namespace of its
// own in it: a second's start then counts once. The zero value is ready; close it in TestMain.
type Shared struct {
	Scope
	once sync.Once
	node *Node

	namesMu sync.Mutex // protects the following
	names   int
}

// Node is the server, which is named s1 and leads.
func (s *Shared) Node() *Node {
	s.once.Do(func() { s.node = Cluster(&s.Scope, 1, 0).Servers[0] })
	return s.node
}

// Namespace makes a namespace that nobody else uses.
func (s *Shared) Namespace() string {
	n := s.Node()
	s.namesMu.Lock()
	s.names++
	name := fmt.Sprintf("test-%d", s.names)
	s.namesMu.Unlock()
	if _, _, err := n.API.Namespaces().Create(s.Context(), &api.Namespace{Name: name}, nil); err != nil {
		s.Fatalf("make namespace %s: %v", name, err)
	}
	return name
}
